//! What file, environment and flags may say, validated.
