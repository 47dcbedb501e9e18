use super::words::{is_fetched, label_keys, words};
use super::*;
use crate::body::Risk;

const ID: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn read(text: &str) -> Dockerfile {
    Dockerfile::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn fault(text: &str) -> (usize, Fault) {
    let refused = |read: Dockerfile| read.wants(&BuildArguments::new());
    let error = Dockerfile::parse(text.as_bytes()).and_then(refused);
    let error = error.expect_err(text);
    (error.line, error.fault)
}

fn given(pairs: &[(&str, &str)]) -> BuildArguments {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), Some((*value).to_owned()));
    pairs.iter().map(pair).collect()
}

fn images(text: &str, arguments: &[(&str, &str)]) -> Vec<String> {
    let wants = read(text).wants(&given(arguments));
    wants
        .unwrap_or_else(|error| panic!("{text:?}: {error}"))
        .images
        .into_iter()
        .map(|i| i.name)
        .collect()
}

fn risks(text: &str) -> Vec<Risk> {
    let wants = read(&format!("FROM scratch\n{text}\n")).wants(&BuildArguments::new());
    wants.unwrap_or_else(|error| panic!("{text:?}: {error}")).risks.into_iter().collect()
}

#[test]
fn it_is_written_anew_without_comments_and_on_one_line_each() {
    let cases = [
        ("FROM a\n", "FROM a\n"),
        ("\u{feff}from a\r\nrun b\r\n", "FROM a\nRUN b\n"),
        ("# syntax=docker/dockerfile:1\n\n# b\nFROM a", "FROM a\n"),
        ("# escape=\\\nFROM a\n", "FROM a\n"),
        ("FROM a\nRUN b && \\\n   # why\n\n    c \\  \n d\n", "FROM a\nRUN b &&     c  d\n"),
        ("FROM a\n  RUN   b   c  \n", "FROM a\nRUN b   c\n"),
        ("FROM --platform=linux/amd64  a  AS  b\n", "FROM --platform=linux/amd64 a  AS  b\n"),
        (
            "FROM a\nCOPY --chown=1:2 --from=b \\\n /c /d\n",
            "FROM a\nCOPY --chown=1:2 --from=b /c /d\n",
        ),
        ("FROM a\nCOPY [\"--from=b\", \"/\"]\n", "FROM a\nCOPY [\"--from=b\", \"/\"]\n"),
        (
            "FROM a\nCMD [\"x\", \"--from=y\"]\nWORKDIR\n",
            "FROM a\nCMD [\"x\", \"--from=y\"]\nWORKDIR\n",
        ),
        (
            "FROM a\nHEALTHCHECK --interval=5s CMD true\n",
            "FROM a\nHEALTHCHECK --interval=5s CMD true\n",
        ),
        (
            "FROM a\nRUN grep x <<<\"y\" && echo $((1<<2)) a<<b\n",
            "FROM a\nRUN grep x <<<\"y\" && echo $((1<<2)) a<<b\n",
        ),
    ];
    for (text, written) in cases {
        let read = read(text);
        assert_eq!(read.emit(), written, "{text:?}");
        assert!(Dockerfile::parse(written.as_bytes()).unwrap().is_same(&read), "{text:?}");
    }
}

#[test]
fn what_engines_read_in_different_ways_is_refused() {
    let long = format!("FROM a\nRUN {}\n", "x".repeat(LONGEST));
    let many = "FROM a\n".repeat(MOST_INSTRUCTIONS + 1);
    let cases: Vec<(&str, usize, Fault)> = vec![
        ("", 0, Fault::Empty),
        ("# only\n", 0, Fault::Empty),
        ("FROM a\nRUN b\rCOPY --from=c / /\n", 2, Fault::Control),
        ("FROM a\nRUN b\0\n", 2, Fault::Control),
        ("FROM a\nRUN b\u{2028}COPY c d\n", 2, Fault::Control),
        ("FROM a\nRUN b\u{85}COPY c d\n", 2, Fault::Control),
        ("# escape=`\nFROM a\n", 1, Fault::Escape),
        ("# syntax=x\n# Escape = ` \nFROM a\n", 2, Fault::Escape),
        ("FROM a\nRUN b \\", 2, Fault::Trailing),
        ("FROM a\nRUN b \\\n# c\n", 2, Fault::Trailing),
        ("FROM a\nRUN b \\\\\nCOPY --from=c / /\n", 2, Fault::Trailing),
        ("FROM a\nRUN cat <<EOF\nFROM b\nEOF\n", 2, Fault::Heredoc),
        ("FROM a\nRUN 3<<-EOF cat\n", 2, Fault::Heredoc),
        ("FROM a\nCOPY <<\"EOF\" /x\n", 2, Fault::Heredoc),
        ("FROM a\nRUN \"<<EOF\" cat\n", 2, Fault::Heredoc),
        ("FROM a\nONBUILD RUN cat <<EOF\n", 2, Fault::Heredoc),
        ("FROM a AS b\nONBUILD COPY --from=c / /\nFROM b\n", 2, Fault::OnBuildFrom),
        ("FROM a\nONBUILD ONBUILD RUN b\n", 2, Fault::OnBuildFrom),
        ("FROM a\nRUN --mount=type=bind,from=b,target=/b cat /b/c\n", 2, Fault::RunFlags),
        ("FROM a\nCOPY --fr\"om\"=b / /\n", 2, Fault::Flag),
        ("FROM a\nCOPY --from=\"b\" / /\n", 2, Fault::Flag),
        ("FROM a\nCOPY --fr\\om=b / /\n", 2, Fault::Flag),
        ("FROM a\nCOPY --FROM=b / /\n", 2, Fault::Flag),
        ("FROM a\nCOPY -- --from=b / /\n", 2, Fault::Flag),
        ("FROM a\nCOPY --from / /\n", 2, Fault::CopyFrom),
        ("FROM a\nCOPY --from= / /\n", 2, Fault::CopyFrom),
        ("FROM a\nCOPY --from=$B / /\n", 2, Fault::ImageName),
        ("COPY a b\n", 1, Fault::NoStage),
        ("ARG a\n", 0, Fault::NoStage),
        ("FROM\n", 1, Fault::From),
        ("FROM a b\n", 1, Fault::From),
        ("FROM a b c\n", 1, Fault::From),
        ("FROM a a\u{17f} b\n", 1, Fault::From),
        ("FROM a AS b/c\n", 1, Fault::From),
        ("FROM a AS 1\n", 1, Fault::From),
        ("FROM a AS sha256:0\n", 1, Fault::From),
        ("FROM \"a\nFROM b\"\n", 1, Fault::ImageName),
        ("FROM a\\b\n", 1, Fault::ImageName),
        ("FROM $A\n", 1, Fault::EmptyName),
        ("FROM ${A%b}\n", 1, Fault::ImageName),
        ("FROM ${A:-$B}\n", 1, Fault::ImageName),
        ("FROM ${A\n", 1, Fault::ImageName),
        ("FROM $\n", 1, Fault::ImageName),
        ("FROM a AS b\nFROM ${A:-b}\n", 2, Fault::ImageName),
        (&long, 2, Fault::TooLong { limit: LONGEST }),
        (&many, MOST_INSTRUCTIONS + 1, Fault::TooMany { limit: MOST_INSTRUCTIONS }),
    ];
    for (text, line, expected) in cases {
        assert_eq!(fault(text), (line, expected), "{text:.80?}");
    }
    assert_eq!(fault("FROM a\nSECRET b\n").1.to_string(), "unknown instruction: SECRET");
    assert!(matches!(fault("FROM a\nHEALTHCHEC\u{212a} NONE\n").1, Fault::UnknownInstruction(_)));
    assert!(matches!(fault("\u{17f}HELL a\n").1, Fault::UnknownInstruction(_)));
    assert_eq!(Dockerfile::parse(b"FROM a\nRUN \xff\n").unwrap_err(), Fault::NotText.at(2));
    let large = vec![b'#'; MOST_BYTES + 1];
    assert_eq!(Dockerfile::parse(&large).unwrap_err(), Fault::TooLarge { limit: MOST_BYTES }.at(0));
}

/// The engine takes all of Unicode's white space for such.
#[test]
fn odd_white_space_hides_no_flag() {
    assert_eq!(images("FROM a\nCOPY\u{a0}--from=b\u{2003}/ /\n", &[]), ["a", "b"]);
    assert_eq!(images("FROM a\nCOPY \u{3000} --from=b / /\n", &[]), ["a", "b"]);
}

#[test]
fn images_are_told_with_their_variables_filled_in() {
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        ("FROM scratch\n", &[], &[]),
        ("FROM scratch:1\n", &[], &["scratch:1"]),
        ("FROM a\nFROM b AS c\n", &[], &["a", "b"]),
        ("ARG V=1\nFROM a:$V\n", &[], &["a:1"]),
        ("ARG V=1\nFROM a:$V\n", &[("V", "2")], &["a:2"]),
        ("ARG V\nFROM a:${V:-3}\n", &[], &["a:3"]),
        ("ARG V\nFROM a:${V:-3}\n", &[("V", "2")], &["a:2"]),
        ("ARG V=x\nFROM a${V:+-b}:1\n", &[], &["a-b:1"]),
        ("ARG A=\"q\" B='w'\nARG C=$A-${B}\nFROM $C\n", &[], &["q-w"]),
        // Not declared before the first stage, so not filled in.
        ("FROM a\nARG V=1\nFROM b${V}\n", &[("V", "2")], &["a", "b"]),
        ("FROM b${V}\n", &[("V", "2")], &["b"]),
        ("FROM \"a:1\"\n", &[], &["a:1"]),
        // A stage is one only when it is over.
        ("FROM a AS b\nFROM B\nCOPY --from=b / /\nCOPY --from=0 / /\n", &[], &["a"]),
        ("FROM a AS b\nCOPY --from=b / /\n", &[], &["a", "b"]),
        ("FROM b\nFROM a AS b\nFROM b\n", &[], &["b", "a"]),
        ("FROM a\nCOPY --from=1234567 / /\nADD --from=c / /\n", &[], &["a", "1234567", "c"]),
        ("FROM a\nCOPY --from=b --from=c / /\n", &[], &["a", "b", "c"]),
        ("FROM a\nONBUILD COPY c /\n", &[], &["a"]),
    ];
    for (text, arguments, expected) in cases {
        assert_eq!(&images(text, arguments), expected, "{text:?} {arguments:?}");
    }
    let bomb: String = ('B'..='Z')
        .map(|c| format!("ARG {c}=${}${}\n", (c as u8 - 1) as char, (c as u8 - 1) as char))
        .collect();
    let bomb = format!("ARG A={}\n{bomb}FROM $Z\n", "x".repeat(4000));
    assert_eq!(fault(&bomb).1, Fault::ImageName);
    let many = format!("FROM a\n{}", "COPY --from=b / /\n".repeat(64));
    assert!(matches!(fault(&many), (65, Fault::TooManyImages { .. })));
}

#[test]
fn ids_take_the_place_of_names() {
    let text = "ARG V=1\nFROM --platform=x a:$V AS b\nCOPY --from=c --chown=1 / /\nFROM b\n";
    let mut file = read(text);
    let wants = file.wants(&BuildArguments::new()).unwrap();
    assert!(wants.images[0].is_base && !wants.images[1].is_base);
    for wanted in &wants.images {
        file.pin(wanted, "a:latest");
    }
    assert_eq!(file, read(text), "only an id does");
    for wanted in &wants.images {
        file.pin(wanted, ID);
    }
    let expected =
        format!("ARG V=1\nFROM --platform=x {ID} AS b\nCOPY --from={ID} --chown=1 / /\nFROM b\n");
    assert_eq!(file.emit(), expected);
}

#[test]
fn labels_of_ours_are_a_risk_however_they_are_written() {
    let ours = [
        "LABEL sealock.owner=x",
        "LABEL a=b sealock.cert.name=x",
        "label \"Sealock.owner\"=x",
        "LABEL sea\"lock.\"owner=x",
        "LABEL sea\\lock.owner=x",
        "LABEL a=b \\\n sealock.owner=x",
        "LABEL sealock.owner x",
        "LABEL $A=x",
        "LABEL a=b ${A}=c",
        "LABEL a=\"b\" 'sealock.x'=y",
        "ONBUILD LABEL sealock.x=y",
    ];
    for line in ours {
        assert_eq!(risks(line), [Risk::SealockLabels], "{line}");
    }
    let others = [
        "LABEL a=b",
        "LABEL version=$VERSION",
        "LABEL description=\"made by $NAME for sealock.example=x\"",
        "LABEL a=\"b c=d $E\" f=g",
        "LABEL maintainer someone of sealock",
        "ENV sealock.owner=x",
    ];
    for line in others {
        assert_eq!(risks(line), [], "{line}");
    }
    let (keys, _) = label_keys("a=b \"c d\"=e f.g='h i=j'");
    assert_eq!(keys, ["a", "c d", "f.g"]);
    assert_eq!(words("a\\ b \"c \\\" d\" 'e\\' f"), ["a\\ b", "\"c \\\" d\"", "'e\\'", "f"]);
}

#[test]
fn what_is_fetched_is_a_risk() {
    for rest in [
        "http://127.0.0.1/ /x",
        "HTTPS://x /x",
        "a b \"http://x\" /x",
        "[\"http://x\", \"/y\"]",
        "[\"\\u0068ttp://x\", \"/y\"]",
        "$U /x",
        "${U} /x",
        "ht${U} /x",
        "git@host:x /x",
        "\"ht\"tp://x /x",
        "[\"https:\\u002f\\u002fx/\", \"/d\\ud800\"]",
        "[\"a\", \"/x\"] more",
    ] {
        assert!(is_fetched(rest), "{rest}");
        assert_eq!(risks(&format!("ADD {rest}")), [Risk::BuildRemote], "{rest}");
        assert_eq!(risks(&format!("COPY {rest}")), [], "{rest}");
    }
    for rest in ["a /x", "app-$V.tar.gz /x", "./$V /x", "[\"a b\", \"/\"]", "http /x"] {
        assert!(!is_fetched(rest), "{rest}");
    }
}

#[test]
fn instructions_of_a_base_image_count() {
    let triggered = |lines: &[&str]| {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        Dockerfile::triggered(&lines)
    };
    let wants = triggered(&["COPY . /app", "RUN make", "LABEL sealock.x=y", "ADD http://x /"]);
    let wants = wants.unwrap();
    assert_eq!(Vec::from_iter(wants.risks), [Risk::BuildRemote, Risk::SealockLabels]);
    for (line, fault) in [
        ("COPY --from=a / /", Fault::OnBuildFrom),
        ("FROM a", Fault::OnBuildFrom),
        ("ONBUILD RUN a", Fault::OnBuildFrom),
        ("RUN a\nCOPY --from=a / /", Fault::OnBuild),
        ("# escape=`", Fault::OnBuild),
        ("RUN a \\", Fault::Trailing),
        ("RUN --mount=from=a b", Fault::RunFlags),
    ] {
        assert_eq!(triggered(&["RUN x", line]).unwrap_err().fault, fault, "{line}");
    }
}

#[test]
fn the_fuzzing_entry_holds_for_a_corpus() {
    for text in [
        "FROM a AS b\nCOPY --from=c d e\nADD $A b\nLABEL a=b \"sealock.x\"=y\nFROM b\n",
        "ARG A=\nARG B=\"$A\"\nFROM x:${B:-$A}\n",
        "FROM a\nRUN a \\\n\\\n b\n",
        "FROM a\nRUN --a b\n",
        "FROM a\nRUN \\\n--mount=x b\n",
        "FROM a\nMAINTAINER\\\n",
        "FROM a\nCOPY \\\n--from=b \\\n--chown=c\n",
        "FR\\\nOM a\n",
        "FROM a\\\n\\\nb\n",
    ] {
        fuzz(text.as_bytes());
    }
}

proptest::proptest! {
    #[test]
    fn the_fuzzing_entry_holds(text in "((FROM|COPY|ADD|RUN|LABEL|ARG|ONBUILD|#)?[ \\\\\"'$={}<\\-a-c\n\t]{0,12}(--from=a| AS b|\n)?){0,12}") {
        fuzz(text.as_bytes());
    }
}
