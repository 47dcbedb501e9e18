//! A DNS server on loopback for the names of a test: each below `acme.test` has the address 127.0.0.1, and the records that are
//! in files of its folder. Programs that answer dns-01 write there.
//!
//! | file | what of the name |
//! |---|---|
//! | `NAME` | its TXT records, one a line |
//! | `NAME.caa` | its CAA records, each the domain that may issue |
//! | `NAME.none` | that there is no such name |
//! | `NAME.fails` | that the server fails at it |

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const ZONE: &str = "acme.test";
const A: u16 = 1;
const TXT: u16 = 16;
const CAA: u16 = 257;
const SERVER_FAILURE: u8 = 2;
const NO_SUCH_NAME: u8 = 3;

/// It ends when it is dropped.
pub struct Names {
    /// Where it is asked, over UDP.
    pub address: SocketAddr,
    /// Where the records are.
    pub folder: PathBuf,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Names {
    /// Starts one with this folder, which is made.
    ///
    /// # Panics
    /// There is no folder or no port to be had.
    #[must_use]
    pub fn start(folder: PathBuf) -> Self {
        let had = fs::create_dir_all(&folder).and_then(|()| {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.set_read_timeout(Some(Duration::from_millis(100)))?;
            Ok((socket.local_addr()?, socket))
        });
        let (address, socket) = had.unwrap_or_else(|error| panic!("no server of names: {error}"));
        let (end, records) = (Arc::new(AtomicBool::new(false)), folder.clone());
        let ended = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            let mut question = [0; 512];
            while !ended.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut question) else { continue };
                let asked = question.get(..length).unwrap_or_default();
                if let Some(answer) = answer(asked, &records) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self { address, folder, end, thread: Some(thread) }
    }

    /// Writes one of the files.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn set(&self, file: &str, content: &str) {
        let written = fs::write(self.folder.join(file), content);
        written.unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// RFC 1035 §4, for one question.
fn answer(question: &[u8], folder: &Path) -> Option<Vec<u8>> {
    let (mut labels, mut at) = (Vec::new(), 12);
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = question.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes(question.get(at..at + 2)?.try_into().ok()?);
    let asked = question.get(12..at + 4)?;
    let name = labels.join(".");
    let has = |ending: &str| folder.join(format!("{name}{ending}")).exists();
    let is_ours = (name == ZONE || name.ends_with(&format!(".{ZONE}"))) && !has(".none");
    let lines = |ending: &str| {
        fs::read_to_string(folder.join(format!("{name}{ending}"))).unwrap_or_default()
    };
    let text = |line: &str| Some([&[u8::try_from(line.len()).ok()?], line.as_bytes()].concat());
    // RFC 8659 §4.1: flags, the tag's length, the tag, the value.
    let caa = |line: &str| Some([b"\0\x05issue", line.as_bytes()].concat());
    let of = |text: String, one: &dyn Fn(&str) -> Option<Vec<u8>>| -> Vec<Vec<u8>> {
        text.lines().filter(|line| !line.is_empty()).filter_map(one).collect()
    };
    let datas: Vec<Vec<u8>> = match kind {
        _ if !is_ours || has(".fails") => Vec::new(),
        A => vec![vec![127, 0, 0, 1]],
        TXT => of(lines(""), &text),
        CAA => of(lines(".caa"), &caa),
        _ => Vec::new(),
    };
    let code: u8 = match is_ours {
        _ if has(".fails") => SERVER_FAILURE,
        true => 0,
        false => NO_SUCH_NAME,
    };
    let mut whole = question.get(..2)?.to_vec();
    whole.extend([0x85, 0x80 | code, 0, 1]);
    whole.extend(u16::try_from(datas.len()).ok()?.to_be_bytes());
    whole.extend([0; 4]);
    whole.extend(asked);
    for data in datas {
        whole.extend([0xc0, 12]);
        whole.extend(kind.to_be_bytes());
        whole.extend([0, 1, 0, 0, 0, 0]);
        whole.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
        whole.extend(data);
    }
    Some(whole)
}
