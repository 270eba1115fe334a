//! The rules of the house, executed: sizes, banned names, and which folder may use which.
