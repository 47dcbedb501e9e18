//! A DNS server on loopback for the names of a test: each below `acme.test` has the address 127.0.0.1, and the TXT records that
//! are in a file of its name. Programs that answer dns-01 write there.

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

pub(super) struct Names {
    pub(super) address: SocketAddr,
    pub(super) folder: PathBuf,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Names {
    pub(super) fn start(folder: PathBuf) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let address = socket.local_addr().unwrap();
        let (end, records) = (Arc::new(AtomicBool::new(false)), folder.clone());
        let ended = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            let mut question = [0; 512];
            while !ended.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut question) else { continue };
                if let Some(answer) = answer(&question[..length], &records) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self { address, folder, end, thread: Some(thread) }
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
    let is_ours = name == ZONE || name.ends_with(&format!(".{ZONE}"));
    let datas: Vec<Vec<u8>> = match kind {
        A if is_ours => vec![vec![127, 0, 0, 1]],
        TXT if is_ours => {
            let text = fs::read_to_string(folder.join(&name)).unwrap_or_default();
            let data =
                |line: &str| [&[u8::try_from(line.len()).unwrap()], line.as_bytes()].concat();
            text.lines().filter(|line| !line.is_empty()).map(data).collect()
        }
        _ => Vec::new(),
    };
    let code: u8 = if is_ours { 0 } else { 3 };
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
