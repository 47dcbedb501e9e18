//! The vault: named secrets with versions, sealed before they reach the store.
