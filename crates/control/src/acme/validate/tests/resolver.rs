//! A DNS server of a few names that can be in a bad mood.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CAA, CNAME, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

/// How questions about a name are answered, if not well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// As if the question had been another.
    WrongId,
    /// Only over TCP.
    Truncates,
    /// The records are called after somebody else.
    WrongOwner,
    ServFail,
    Refused,
    Silent,
    /// What is no DNS.
    Garbage,
}

/// What there is. Where several answers are given for one question, each is the answer once, the last one for ever.
#[derive(Debug, Default)]
pub(super) struct Zone {
    records: HashMap<(String, RecordType), Vec<Vec<RData>>>,
    moods: HashMap<String, Mood>,
}

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).unwrap()
}

impl Zone {
    fn then(mut self, of: &str, kind: RecordType, data: Vec<RData>) -> Self {
        self.records.entry((of.to_owned(), kind)).or_default().push(data);
        self
    }

    pub(super) fn a(self, of: &str, addresses: &[&str]) -> Self {
        let data = addresses.iter().map(|it| RData::A(A(it.parse::<Ipv4Addr>().unwrap())));
        self.then(of, RecordType::A, data.collect())
    }

    pub(super) fn aaaa(self, of: &str, addresses: &[&str]) -> Self {
        let data = addresses.iter().map(|it| RData::AAAA(AAAA(it.parse::<Ipv6Addr>().unwrap())));
        self.then(of, RecordType::AAAA, data.collect())
    }

    /// Each text is one record, of as many parts as there are between its bars.
    pub(super) fn txt(self, of: &str, texts: &[&str]) -> Self {
        let text =
            |text: &&str| RData::TXT(TXT::new(text.split('|').map(ToOwned::to_owned).collect()));
        self.then(of, RecordType::TXT, texts.iter().map(text).collect())
    }

    pub(super) fn cname(self, of: &str, target: &str) -> Self {
        self.then(of, RecordType::CNAME, vec![RData::CNAME(CNAME(name(target)))])
    }

    /// Each record as in a zone's file: `0 issue ca.example`.
    pub(super) fn caa(self, of: &str, records: &[&str]) -> Self {
        let record = |text: &&str| {
            let mut words = text.splitn(3, ' ');
            let mut record = CAA::new_issue(words.next() == Some("128"), None, Vec::new());
            record.tag = words.next().unwrap().to_owned();
            record.value = words.next().unwrap().as_bytes().to_vec();
            RData::CAA(record)
        };
        self.then(of, RecordType::CAA, records.iter().map(record).collect())
    }

    pub(super) fn mood(mut self, of: &str, mood: Mood) -> Self {
        self.moods.insert(of.to_owned(), mood);
        self
    }

    fn answer(&mut self, question: &[u8], is_udp: bool) -> Option<Vec<u8>> {
        let question = Message::from_vec(question).unwrap();
        let asked = question.queries[0].clone();
        let of = asked.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
        let mood = self.moods.get(&of).copied();
        let mut message = question.into_response();
        message.additionals.clear();
        let mut owner = asked.name().clone();
        match mood {
            Some(Mood::Silent) => return None,
            Some(Mood::Garbage) => {
                return Some([&message.metadata.id.to_be_bytes()[..], b"?"].concat());
            }
            Some(Mood::WrongId) => message.metadata.id = message.metadata.id.wrapping_add(1),
            Some(Mood::ServFail) => message.metadata.response_code = ResponseCode::ServFail,
            Some(Mood::Refused) => message.metadata.response_code = ResponseCode::Refused,
            Some(Mood::Truncates) if is_udp => {
                message.metadata.truncation = true;
                return Some(message.to_vec().unwrap());
            }
            Some(Mood::WrongOwner) => owner = name("somebody.test"),
            Some(Mood::Truncates) | None => {}
        }
        if message.metadata.response_code == ResponseCode::NoError {
            for kind in [RecordType::CNAME, asked.query_type()] {
                for data in self.next(&of, kind) {
                    message.add_answer(Record::from_rdata(owner.clone(), 60, data));
                }
            }
            let below = format!(".{of}");
            let is_there =
                |(known, _): &(String, RecordType)| *known == of || known.ends_with(&below);
            if !self.records.keys().any(is_there) {
                message.metadata.response_code = ResponseCode::NXDomain;
            }
        }
        Some(message.to_vec().unwrap())
    }

    fn next(&mut self, of: &str, kind: RecordType) -> Vec<RData> {
        match self.records.get_mut(&(of.to_owned(), kind)) {
            Some(answers) if answers.len() > 1 => answers.remove(0),
            Some(answers) => answers[0].clone(),
            None => Vec::new(),
        }
    }
}

/// It ends when it is dropped.
pub(super) struct Resolver {
    pub(super) address: SocketAddr,
    /// What was asked: `UDP A a.test`.
    asked: Arc<Mutex<Vec<String>>>,
    serving: Vec<JoinHandle<()>>,
}

impl Resolver {
    pub(super) async fn start(zone: Zone) -> Self {
        let (udp, tcp) = sockets().await;
        let address = udp.local_addr().unwrap();
        let (zone, asked) = (Arc::new(Mutex::new(zone)), Arc::default());
        let (over_udp, over_tcp) = (Arc::clone(&zone), zone);
        let (seen_udp, seen_tcp) = (Arc::clone(&asked), Arc::clone(&asked));
        let udp = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
                note(&seen_udp, "UDP", &buffer[..length]);
                let answer = over_udp.lock().answer(&buffer[..length], true);
                if let Some(answer) = answer {
                    udp.send_to(&answer, from).await.unwrap();
                }
            }
        });
        let tcp = tokio::spawn(async move {
            while let Ok((stream, _)) = tcp.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&over_tcp), Arc::clone(&seen_tcp)));
            }
        });
        Self { address, asked, serving: vec![udp, tcp] }
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.serving.iter().for_each(JoinHandle::abort);
    }
}

/// Both kinds at the same port.
async fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

async fn converse(mut stream: TcpStream, zone: Arc<Mutex<Zone>>, asked: Arc<Mutex<Vec<String>>>) {
    while let Ok(length) = stream.read_u16().await {
        let mut question = vec![0; usize::from(length)];
        stream.read_exact(&mut question).await.unwrap();
        note(&asked, "TCP", &question);
        let answer = zone.lock().answer(&question, false);
        let Some(answer) = answer else { continue };
        stream.write_u16(u16::try_from(answer.len()).unwrap()).await.unwrap();
        stream.write_all(&answer).await.unwrap();
    }
}

fn note(asked: &Mutex<Vec<String>>, how: &str, question: &[u8]) {
    let question = Message::from_vec(question).unwrap();
    let query = &question.queries[0];
    let name = query.name().to_ascii();
    asked.lock().push(format!("{how} {} {}", query.query_type(), name.trim_end_matches('.')));
}
