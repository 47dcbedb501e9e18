use super::*;

#[test]
fn what_is_issued_is_verified() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let key = SigningKey::generate(algorithm).unwrap();
        let keys =
            KeySet::from_json(KeySet::from_iter([key.public()]).to_json().as_bytes()).unwrap();
        for profile in [Profile::AccessToken, Profile::JwtSvid] {
            let token = issue(&key, profile, &claims()).unwrap();
            assert_eq!(verify(&token, &keys, &expected()), Ok(claims()));
        }
    }
}
