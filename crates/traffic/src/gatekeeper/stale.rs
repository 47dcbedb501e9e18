//! What is done when the feed is silent, for each part of the paths.

use hyper::Method;
use thiserror::Error;

use super::settings::Staleness;
use crate::http::path::{PathFault, Target};

/// How many parts there may be: they are looked through for each request.
const MOST: usize = 64;

/// Why a part of the paths cannot be named so.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StaleRouteError {
    /// It is no path.
    #[error("`{path}` cannot be the beginning of a path")]
    Path {
        /// What was said.
        path: String,
        /// Why not.
        #[source]
        fault: PathFault,
    },
    /// No request has a path that is spelt so: all are put into one spelling before.
    #[error("`{path}` is not how paths are spelt here; `{spelling}` is")]
    Spelling {
        /// What was said.
        path: String,
        /// What was meant.
        spelling: String,
    },
    /// It has a query.
    #[error("`{0}` has a query, and only paths are looked at")]
    Query(String),
    /// It is there already.
    #[error("`{0}` is named twice")]
    Twice(String),
    /// There are too many.
    #[error("more than {MOST} parts of the paths are named")]
    TooMany,
}

/// What is done when the feed is silent, by the beginning of the path. The longest beginning counts.
///
/// `/health` is for `/health` and what is below it, not for `/healthy`; `/health/` for what is below it and itself. The
/// path is the one that policy is asked about, so it has one spelling.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StaleRoutes(Vec<(String, Staleness)>);

impl StaleRoutes {
    /// Names one more.
    pub fn add(&mut self, prefix: &str, staleness: Staleness) -> Result<(), StaleRouteError> {
        let path = || prefix.chars().take(200).collect::<String>();
        let target = Target::read(&Method::GET, prefix)
            .map_err(|fault| StaleRouteError::Path { path: path(), fault })?;
        if target.query().is_some() {
            return Err(StaleRouteError::Query(path()));
        }
        if !target.is_as_it_came() {
            let spelling = target.path().to_owned();
            // What had to be decoded may be spelt like this after all.
            if spelling != prefix {
                return Err(StaleRouteError::Spelling { path: path(), spelling });
            }
        }
        if self.0.iter().any(|(known, _)| known == prefix) {
            return Err(StaleRouteError::Twice(path()));
        }
        if self.0.len() >= MOST {
            return Err(StaleRouteError::TooMany);
        }
        self.0.push((prefix.to_owned(), staleness));
        // The longest first, so that the first that fits is the one that counts.
        self.0.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Ok(())
    }

    /// What is said about a path, if anything is.
    pub(super) fn of(&self, path: &str) -> Option<Staleness> {
        let fits = |prefix: &str| match path.strip_prefix(prefix) {
            Some(rest) => rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'),
            None => false,
        };
        self.0.iter().find(|(prefix, _)| fits(prefix)).map(|(_, staleness)| *staleness)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LATER: Staleness = Staleness::RefuseAfter(Duration::from_secs(60));

    #[test]
    fn the_longest_beginning_counts_and_ends_with_a_segment() {
        let mut routes = StaleRoutes::default();
        assert_eq!(routes.of("/health"), None);
        for (prefix, staleness) in [
            ("/health", Staleness::GoOn),
            ("/", LATER),
            ("/health/deep/", LATER),
            ("/health/deep/er", Staleness::GoOn),
        ] {
            routes.add(prefix, staleness).unwrap();
        }
        for (path, goes_on) in [
            ("/health", true),
            ("/health/", true),
            ("/health/x", true),
            ("/healthy", false),
            ("/Health", false),
            ("/", false),
            ("/x/health", false),
            ("/health/deep", true),
            ("/health/deep/", false),
            ("/health/deep/x", false),
            ("/health/deep/er", true),
            ("/health/deep/er/x", true),
            ("/health/deep/ere", false),
        ] {
            assert_eq!(
                routes.of(path),
                Some(if goes_on { Staleness::GoOn } else { LATER }),
                "{path}"
            );
        }
        // OPTIONS * is about no path.
        assert_eq!(routes.of("*"), None);
    }

    #[test]
    fn what_no_path_is_spelt_like_is_refused() {
        let add = |prefix: &str| StaleRoutes::default().add(prefix, Staleness::GoOn);
        for prefix in ["", "health", "*", "//", "/a//b", "/a;b", "/%2f", "/a b", "/a#b", "/.."] {
            assert!(matches!(add(prefix), Err(StaleRouteError::Path { .. })), "{prefix:?}");
        }
        for (prefix, spelling) in
            [("/a/../b", "/b"), ("/%61", "/a"), ("/a/.", "/a/"), ("/%c3%a4", "/%C3%A4")]
        {
            let refused = add(prefix).unwrap_err();
            let path = prefix.to_owned();
            assert_eq!(refused, StaleRouteError::Spelling { path, spelling: spelling.to_owned() });
        }
        assert_eq!(add("/a?b"), Err(StaleRouteError::Query("/a?b".to_owned())));
        assert_eq!(add("/%C3%A4"), Ok(()));
        let mut routes = StaleRoutes::default();
        routes.add("/a", Staleness::GoOn).unwrap();
        assert_eq!(routes.add("/a", LATER), Err(StaleRouteError::Twice("/a".to_owned())));
        for number in 1..MOST {
            routes.add(&format!("/a/{number}"), LATER).unwrap();
        }
        assert_eq!(routes.add("/b", LATER), Err(StaleRouteError::TooMany));
    }
}
