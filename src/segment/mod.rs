//! 2. The file format: bytes in, bytes out, no I/O.
