//! The seeds of the fuzz target hold too, so that a bug found once stays found.

#[test]
fn the_fuzz_corpus_holds() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/docker_body");
    let mut seen = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let data = std::fs::read(entry.unwrap().path()).unwrap();
        super::super::fuzz(&data);
        // Cut and bent, they reach corners that random bytes do not.
        for place in 0..data.len() {
            super::super::fuzz(data.get(..place).unwrap());
            let mut bent = data.clone();
            *bent.get_mut(place).unwrap() ^= 1 << (place % 7);
            super::super::fuzz(&bent);
        }
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
}
