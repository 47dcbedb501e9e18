//! `--up`.

use std::fs;
use std::path::Path;

use super::super::find_upwards;
use super::message;

#[test]
fn the_nearest_file_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a/b/c");
    fs::create_dir_all(&deep).unwrap();
    let file = Path::new("sealock-upwards-test.yml");
    let missing = find_upwards(&deep, file).unwrap_err();
    let expected =
        "unable to locate file specified (sealock-upwards-test.yml): reached root of file system";
    assert_eq!(message(&missing), expected);
    for place in ["", "a/b", "a/b/c"] {
        let path = folder.path().join(place).join(file);
        fs::write(&path, "").unwrap();
        assert_eq!(find_upwards(&deep, file).unwrap(), path);
    }
    let sibling = find_upwards(&deep, &Path::new("../../a/./b").join(file)).unwrap();
    assert_eq!(sibling, folder.path().join("a/b").join(file));
}

#[test]
fn an_absolute_path_is_refused() {
    let error = find_upwards(Path::new("/"), Path::new("/etc/secrets.yml")).unwrap_err();
    assert_eq!(
        message(&error),
        "file specified (/etc/secrets.yml) is an absolute path: will not recurse up"
    );
    assert!(error.hint().is_some());
}

#[test]
fn a_place_that_cannot_be_looked_into_ends_the_search() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let error = find_upwards(folder.path(), Path::new("file/secrets.yml")).unwrap_err();
    assert!(
        message(&error).starts_with("unable to locate file specified (file/secrets.yml): "),
        "{error}"
    );
}
