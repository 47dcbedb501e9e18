//! `secrets.yml`: from bytes to a [`Manifest`](crate::Manifest).
