use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;

use rustls_pki_types::PrivatePkcs8KeyDer;
use sealock_core::ManualClock;
use tokio::sync::Semaphore;

use super::*;

const NOW: i64 = 1_700_000_000;
/// Seconds that a token of these tests lives.
const LIFE: i64 = 300;
/// No fetch ahead comes before, whatever the jitter.
const EARLIEST: i64 = 165;
/// By then it has come.
const LATEST: i64 = 199;

/// With a certificate of this number.
fn trust(number: u8) -> Trust {
    let key = PrivatePkcs8KeyDer::from(vec![number]).into();
    Trust { own: Some((vec![vec![number].into()], key)), ..Trust::default() }
}

/// What the source does next; it goes on with the last.
#[derive(Clone, Copy)]
enum Next {
    Give,
    Refuse,
    Fail,
    Panic,
    Expired,
    Garbage,
}

/// Gives tokens by number, each when there is a permit.
struct Source {
    clock: Arc<ManualClock>,
    script: Mutex<VecDeque<Next>>,
    asked: Mutex<u64>,
    /// The certificate of the last question.
    beside: Mutex<Option<[u8; 32]>>,
    permits: Semaphore,
}

impl Source {
    fn asked(&self) -> u64 {
        *self.asked.lock()
    }
}

impl TokenSource for Source {
    fn token<'a>(
        &'a self,
        audience: &'a Identity,
        trust: &'a Trust,
    ) -> Pin<Box<dyn Future<Output = Result<Fresh, SourceError>> + Send + 'a>> {
        *self.asked.lock() += 1;
        *self.beside.lock() = trust.thumbprint();
        Box::pin(async move {
            self.permits.acquire().await.unwrap().forget();
            let mut script = self.script.lock();
            let next = if script.len() > 1 { script.pop_front() } else { script.front().copied() };
            let fresh = |token: String, life| Fresh {
                token: Zeroizing::new(token),
                expires_at: Timestamp::from_secs(self.clock.now().as_secs() + life),
            };
            match next.unwrap_or(Next::Give) {
                Next::Give => Ok(fresh(format!("token.{}", self.asked()), LIFE)),
                Next::Refuse => Err(SourceError::Refused { audience: audience.clone() }),
                Next::Fail => Err(SourceError::Unavailable("it is down".into())),
                Next::Panic => panic!("as the test wants it"),
                Next::Expired => Ok(fresh("token".to_owned(), 0)),
                Next::Garbage => Ok(fresh("to\r\nken".to_owned(), LIFE)),
            }
        })
    }
}

struct Scene {
    tokens: Arc<Tokens>,
    source: Arc<Source>,
    clock: Arc<ManualClock>,
    audience: Identity,
}

impl Scene {
    fn new(script: &[Next]) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(NOW)));
        let source = Arc::new(Source {
            clock: clock.clone(),
            script: Mutex::new(script.iter().copied().collect()),
            asked: Mutex::new(0),
            beside: Mutex::default(),
            permits: Semaphore::new(1000),
        });
        let metrics = Arc::new(Metrics::default());
        let settings = TokenSettings::default();
        let trusts = trust(1).into();
        let tokens = Tokens::new(source.clone(), trusts, clock.clone(), settings, metrics);
        let audience = "spiffe://t.sealock/service/orders".parse().unwrap();
        Self { tokens, source, clock, audience }
    }

    async fn token(&self) -> Result<String, NoToken> {
        let held = self.tokens.token(&self.audience).await?;
        Ok(held.value.to_str().unwrap().to_owned())
    }

    async fn held(&self) -> Held {
        self.tokens.token(&self.audience).await.ok().unwrap()
    }

    /// At so many seconds after the beginning.
    fn at(&self, seconds: i64) {
        self.clock.set(Timestamp::from_secs(NOW + seconds));
    }

    /// When everything that flies has landed.
    async fn landed(&self) {
        while self.tokens.entry(&self.audience).state.lock().flying {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn there_is_one_flight_however_many_wait_and_whoever_leaves() {
    let scene = Arc::new(Scene::new(&[Next::Give]));
    scene.source.permits.forget_permits(1000);
    let asking = |scene: Arc<Scene>| tokio::spawn(async move { scene.token().await });
    let mut all: Vec<_> = (0..100).map(|_| asking(scene.clone())).collect();
    while scene.source.asked() == 0 {
        tokio::task::yield_now().await;
    }
    // The one that began it leaves.
    all.swap_remove(0).abort();
    scene.source.permits.add_permits(100);
    for one in all {
        assert_eq!(one.await.unwrap().as_deref(), Ok("Bearer token.1"));
    }
    assert_eq!(scene.source.asked(), 1);
}

#[tokio::test]
async fn the_next_one_is_fetched_ahead_while_the_last_is_used() {
    let scene = Scene::new(&[Next::Give]);
    assert_eq!(scene.token().await.as_deref(), Ok("Bearer token.1"));
    scene.at(EARLIEST);
    assert_eq!(scene.token().await.as_deref(), Ok("Bearer token.1"));
    scene.landed().await;
    assert_eq!(scene.source.asked(), 1);
    scene.at(LATEST);
    assert_eq!(scene.token().await.as_deref(), Ok("Bearer token.1"), "nobody waits for it");
    scene.landed().await;
    assert_eq!(scene.token().await.as_deref(), Ok("Bearer token.2"));
    assert_eq!(scene.source.asked(), 2);
    // Nobody has to ask for the next, while they are used.
    scene.at(2 * LATEST);
    scene.tokens.look();
    scene.landed().await;
    assert_eq!(scene.source.asked(), 3);
    scene.at(3 * LATEST);
    scene.tokens.look();
    scene.landed().await;
    assert_eq!(scene.source.asked(), 3, "the third was never used");
}

#[tokio::test]
async fn what_there_is_is_used_until_it_expires_and_failures_are_not_hammered() {
    let scene = Scene::new(&[Next::Give, Next::Fail, Next::Fail, Next::Fail, Next::Give]);
    scene.token().await.unwrap();
    scene.at(LATEST);
    for _ in 0..50 {
        assert_eq!(scene.token().await.as_deref(), Ok("Bearer token.1"));
        scene.landed().await;
    }
    assert_eq!(scene.source.asked(), 2, "a failure is remembered");
    scene.at(LIFE - 1);
    assert_eq!(scene.token().await.as_deref(), Ok("Bearer token.1"));
    scene.landed().await;
    assert_eq!(scene.source.asked(), 3);
    scene.at(LIFE + 1);
    for _ in 0..50 {
        assert_eq!(scene.token().await, Err(NoToken::Unavailable));
    }
    assert_eq!(scene.source.asked(), 4);
    scene.at(LIFE + 20);
    assert_eq!(scene.token().await.as_deref(), Ok("Bearer token.5"));
}

#[tokio::test]
async fn however_a_flight_ends_those_who_wait_are_told() {
    for (next, why) in [
        (Next::Refuse, NoToken::Refused),
        (Next::Fail, NoToken::Unavailable),
        (Next::Panic, NoToken::Unavailable),
        (Next::Expired, NoToken::Unavailable),
        (Next::Garbage, NoToken::Unavailable),
    ] {
        let scene = Scene::new(&[next, Next::Give]);
        assert_eq!(scene.token().await, Err(why));
        assert_eq!(scene.token().await, Err(why));
        assert_eq!(scene.source.asked(), 1);
        scene.at(2);
        assert_eq!(scene.token().await.as_deref(), Ok("Bearer token.2"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_source_is_given_up() {
    let scene = Scene::new(&[Next::Give]);
    scene.source.permits.forget_permits(1000);
    assert_eq!(scene.token().await, Err(NoToken::Unavailable));
    // Whoever waited as long as the fetch may see either end first.
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(scene.token().await, Err(NoToken::Unavailable));
    assert_eq!(scene.source.asked(), 1);
}

#[tokio::test]
async fn a_refused_token_is_dropped_once_and_not_when_it_has_just_come() {
    let scene = Scene::new(&[Next::Give]);
    let first = scene.held().await;
    assert!(!scene.tokens.refused(&scene.audience, first.number), "it has just come");
    assert_eq!(scene.held().await.number, first.number);
    scene.at(6);
    assert!(scene.tokens.refused(&scene.audience, first.number));
    let second = scene.held().await;
    assert_ne!(second.number, first.number);
    // Somebody else whose request was on its way with the first: there is a better one already.
    assert!(scene.tokens.refused(&scene.audience, first.number));
    assert_eq!(scene.held().await.number, second.number);
    assert_eq!(scene.source.asked(), 2);
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_keep_a_failure_for_ever() {
    let scene = Scene::new(&[Next::Fail, Next::Give]);
    assert!(scene.token().await.is_err());
    scene.at(-3600);
    assert_eq!(scene.token().await.as_deref(), Ok("Bearer token.2"));
}

#[tokio::test]
async fn after_a_renewal_the_old_pair_is_used_until_there_is_a_new_one() {
    let scene = Scene::new(&[Next::Give, Next::Fail, Next::Give]);
    let (old, new) = (trust(1).thumbprint(), trust(2).thumbprint());
    let pair = |held: &Held| (held.value.to_str().unwrap().to_owned(), held.trust.thumbprint());
    assert_eq!(pair(&scene.held().await), ("Bearer token.1".to_owned(), old));
    scene.tokens.renew(trust(2).into());
    scene.landed().await;
    // It is used, so it was asked for at once, for the new certificate; and the broker is away.
    assert_eq!((scene.source.asked(), *scene.source.beside.lock()), (2, new));
    assert_eq!(pair(&scene.held().await), ("Bearer token.1".to_owned(), old));
    scene.at(2);
    assert_eq!(pair(&scene.held().await), ("Bearer token.1".to_owned(), old), "nobody waits");
    scene.landed().await;
    assert_eq!(pair(&scene.held().await), ("Bearer token.3".to_owned(), new));
    scene.tokens.look();
    scene.landed().await;
    assert_eq!(scene.source.asked(), 3, "the new one is as good as any");
}

#[tokio::test]
async fn the_old_certificate_is_used_no_longer_than_it_is_good() {
    let scene = Scene::new(&[Next::Give, Next::Fail]);
    let ends = Some(Timestamp::from_secs(NOW + 10));
    scene.tokens.renew(Trust { ends, ..trust(1) }.into());
    scene.token().await.unwrap();
    scene.at(10);
    scene.token().await.unwrap();
    scene.tokens.renew(trust(2).into());
    assert_eq!(scene.token().await, Err(NoToken::Unavailable), "there is a better one by now");
}

#[tokio::test]
async fn a_renewal_of_the_roots_or_of_nothing_changes_no_token() {
    let scene = Scene::new(&[Next::Give]);
    scene.token().await.unwrap();
    scene.tokens.renew(Trust { roots: vec![vec![9_u8].into()], ..trust(1) }.into());
    let held = scene.held().await;
    scene.landed().await;
    assert_eq!((held.trust.roots.len(), scene.source.asked()), (1, 1), "the new roots count now");
}

#[tokio::test]
async fn what_nobody_uses_keeps_no_certificate() {
    let scene = Scene::new(&[Next::Give]);
    scene.held().await;
    let old = Arc::downgrade(scene.tokens.trusts().of(scene.audience.trust_domain()));
    scene.tokens.renew(trust(2).into());
    scene.landed().await;
    assert_eq!(old.strong_count(), 0, "the new one has come");
    let unused = Arc::downgrade(scene.tokens.trusts().of(scene.audience.trust_domain()));
    scene.tokens.renew(trust(3).into());
    scene.landed().await;
    assert_eq!((unused.strong_count(), scene.source.asked()), (1, 2), "nobody has used it");
    scene.at(LIFE);
    scene.tokens.look();
    assert_eq!(unused.strong_count(), 0);
}

#[tokio::test]
async fn a_token_is_in_no_debug_output() {
    let scene = Scene::new(&[Next::Give]);
    let held = scene.held().await;
    assert!(!format!("{:?}", held.value).contains("token."));
    let fresh =
        Fresh { token: Zeroizing::new("secret".to_owned()), expires_at: Timestamp::from_secs(NOW) };
    assert!(!format!("{fresh:?}").contains("secret"));
}
