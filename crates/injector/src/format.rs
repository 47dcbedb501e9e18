//! How values are written into files.
