//! Against a real slapd, and against servers that mean no good.

#[cfg(test)]
mod evil;
#[cfg(test)]
mod pki;
#[cfg(test)]
mod slapd;
