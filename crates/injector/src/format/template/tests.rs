//! Templates and what Go makes of them: each expectation is what Go's own text/template printed, with Summon's
//! functions, or says that it is ours.

use super::*;

const SECRETS: [(&str, &[u8]); 6] = [
    ("PASSWORD", b"p\"'<&>\\=\0"),
    ("b64", b"c2Vj\r\ncmV0"),
    ("bytes", b"\xff\n\xc3\xa9"),
    ("empty", b""),
    ("number", b"5432"),
    ("user", b"admin"),
];

fn render(template: &str, dialect: Dialect, limits: Limits) -> Result<Vec<u8>, TemplateError> {
    let secrets: Vec<(String, SecretBytes)> = SECRETS
        .iter()
        .rev()
        .map(|(alias, value)| ((*alias).to_owned(), SecretBytes::new(value.to_vec())))
        .collect();
    let file = Template::parse(template)?.render(&secrets, dialect, limits)?;
    Ok(file.expose().to_vec())
}

fn check(cases: &[(&str, &str)]) {
    for (template, expected) in cases {
        for dialect in [Dialect::Summon, Dialect::Strict] {
            let made = render(template, dialect, Limits::default())
                .unwrap_or_else(|error| panic!("{template}: {error}"));
            assert_eq!(String::from_utf8_lossy(&made), *expected, "{template}");
        }
    }
}

fn check_errors(cases: &[(&str, &str)]) {
    for (template, expected) in cases {
        let error = render(template, Dialect::Summon, Limits::default()).unwrap_err().to_string();
        assert!(error.contains(expected), "{template}: {error}");
    }
}

#[test]
fn text_and_trim_markers() {
    check(&[
        ("", ""),
        ("no action } { }}", "no action } { }}"),
        ("a {{- \"x\" -}} b", "axb"),
        ("a \n\t {{- \"x\"}} y {{\"z\" -}} \n b", "ax y zb"),
        ("{{-3}} {{- 3}}", "-33"),
        ("{{/* comment */}}a{{- /* trims */ -}} b", "ab"),
        ("{{\"}}\"}}{{`}}`}}{{'}'}}", "}}}}125"),
        ("{{print\n \"a\"\n \"b\"}}", "ab"),
    ]);
    check_errors(&[
        ("{{/* open }}", "the comment has no end"),
        ("{{ /* x */ }}", "'/' cannot stand in"),
        ("{{- -}}", "no number"),
        ("a{{", "the action has no end"),
        ("{{\"a\nb\"}}", "quotes are not closed"),
        ("{{}}", "there is no value"),
    ]);
}

#[test]
fn secrets_by_function_field_and_loop() {
    check(&[
        ("{{secret \"user\"}}:{{\"user\" | secret}}", "admin:admin"),
        ("{{.SecretsMap.user.Value}}{{(.SecretsMap).user.Alias}}", "adminuser"),
        ("{{(index .SecretsMap \"user\").Value}}{{(index .SecretsArray 5).Value}}", "adminadmin"),
        (
            "{{range $i, $e := .SecretsArray}}{{if $i}}, {{end}}{{$e.Alias}}{{end}}",
            "PASSWORD, b64, bytes, empty, number, user",
        ),
        (
            "{{range $k, $v := .SecretsMap}}{{$k}}={{len $v.Value}};{{end}}",
            "PASSWORD=9;b64=10;bytes=4;empty=0;number=4;user=5;",
        ),
        (
            "{{range .SecretsArray}}{{if eq .Alias \"bytes\"}}{{continue}}{{end}}{{.Alias}}\
          {{if eq .Alias \"empty\"}}{{break}}{{end}},{{end}}",
            "PASSWORD,b64,empty",
        ),
        ("{{range slice .SecretsArray 3 5}}{{.Alias}} {{end}}", "empty number "),
        ("{{range 3}}{{.}},{{end}}{{range 0}}x{{else}}none{{end}}", "0,1,2,none"),
        ("{{index .SecretsArray 5}}", "{user admin}"),
        ("{{print (index .SecretsArray 5)}}", "&{user admin}"),
        ("{{with .SecretsMap.nope}}x{{else}}no{{end}}", "no"),
        ("{{if index .SecretsMap \"nope\"}}x{{else}}no{{end}}", "no"),
    ]);
    check_errors(&[
        ("a\n {{secret \"nope\"}}", "line 2, column 4: there is no secret \"nope\" in this file"),
        ("{{.Secrets}}", "the whole of the data has no field \"Secrets\""),
        ("{{.SecretsMap.user.Name}}", "a secret has no field \"Name\""),
        ("{{.SecretsMap.user \"x\"}}", "takes no arguments"),
        ("{{(index .SecretsMap \"nope\").Value}}", "a secret that is not there has no field"),
        ("{{index .SecretsArray 6}}", "nothing at this place"),
        ("{{.SecretsArray}}", "a list of secrets cannot be printed"),
        ("{{range \"abc\"}}{{end}}", "range cannot go over a text"),
        ("{{secret}}", "wants 1 arguments, not 0"),
        ("{{secret 1}}", "wants a text, not a number"),
    ]);
}

#[test]
fn blocks_and_variables() {
    check(&[
        ("{{if secret \"empty\"}}a{{else if secret \"user\"}}b{{else}}c{{end}}", "b"),
        ("{{with $x := secret \"empty\"}}a{{else with $y := \"z\"}}{{$y}}{{$x}}{{.}}{{end}}", "zz"),
        ("{{$x := 1}}{{if true}}{{$x := 2}}{{$x}}{{end}}{{$x}}", "21"),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"),
        (
            "{{$i := 0}}{{$e := 0}}{{range $i, $e = .SecretsArray}}{{end}}{{$i}}{{$e.Alias}}",
            "5user",
        ),
        (
            "{{define \"a\"}}[{{.}}{{$}}]{{end}}{{template \"a\" \"x\"}}{{with 5}}{{template `a` .}}{{end}}",
            "[xx][55]",
        ),
        ("{{block \"b\" .SecretsArray}}{{len .}}{{end}}{{template \"b\" \"abc\"}}", "63"),
        ("{{define \"a\"}} {{end}}{{define \"a\"}}2{{end}}{{template \"a\"}}", "2"),
        (
            "{{define \"r\"}}{{if .}}x{{template \"r\" (slice . 1)}}{{end}}{{end}}{{template \"r\" \"abc\"}}",
            "xxx",
        ),
        ("{{if false}}{{template \"nope\"}}{{end}}ok", "ok"),
        ("{{($x := 5)}}{{$x}}", "55"),
    ]);
    check_errors(&[
        ("{{$x}}", "there is no variable \"$x\""),
        ("{{$x = 1}}", "the variable \"$x\" has no value here"),
        ("{{if $x := 1}}{{end}}{{$x}}", "there is no variable"),
        ("{{$x := 1}}{{define \"a\"}}{{$x}}{{end}}", "there is no variable"),
        ("{{if false}}{{$x := 1}}{{else}}{{$x}}{{end}}", "has no value here"),
        ("{{$a, $b := 1}}", "too many variables"),
        ("{{if true}}", "cannot stand in a block that has no `end`"),
        ("{{end}}", "nothing to end"),
        ("{{else}}", "nothing before it"),
        ("{{if 1}}{{else}}{{else}}{{end}}", "a second `else`"),
        ("{{if 1}}{{else with 1}}{{end}}", "does not go with"),
        ("{{break}}", "outside of `range`"),
        ("{{range 3}}{{block \"b\" .}}{{break}}{{end}}{{end}}", "outside of `range`"),
        ("{{define \"a\"}}1{{end}}{{define \"a\"}}2{{end}}", "defined twice"),
        ("{{if 1}}{{define \"a\"}}{{end}}{{end}}", "\"define\" cannot stand in"),
        ("{{template \"nope\"}}", "there is no template \"nope\""),
    ]);
}

#[test]
fn functions() {
    check(&[
        (
            "{{and 1 0 2}} {{or 0 \"\" \"x\"}} {{not 1}} {{not \"\"}} {{5 | and 1}} {{5 | or 3}}",
            "0 x false true 5 3",
        ),
        ("{{or 1 (secret \"nope\")}}", "1"),
        (
            "{{eq 1 2 1}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{gt 3 2}} {{ge 2 3}} {{lt \"a\" \"b\"}}",
            "true true true true true false true",
        ),
        (
            "{{eq 1 nil}} {{eq (index .SecretsMap \"x\") nil}} {{eq (index \"a\" 0) 97}}",
            "false true true",
        ),
        ("{{len .SecretsMap}} {{len \"abc\"}} {{len (secret \"bytes\")}}", "6 3 4"),
        ("{{slice \"abcdef\" 1 3}} {{slice \"abc\" 2}} {{index \"abc\" 1}}", "bc c 98"),
        ("{{print 1 2 \"a\" \"b\" 3 4 true 1.5}}|{{println 1 \"a\"}}", "1 2ab3 4 true 1.5|1 a\n"),
        ("{{secret \"PASSWORD\" | html}}", "p&#34;&#39;&lt;&amp;&gt;\\=\u{fffd}"),
        ("{{secret \"PASSWORD\" | htmlenc}}", "p&#34;&#39;&lt;&amp;&gt;\\=\0"),
        ("{{secret \"PASSWORD\" | js}}", "p\\\"\\'\\u003C\\u0026\\u003E\\\\\\u003D\\u0000"),
        ("{{secret \"PASSWORD\" | urlquery}}", "p%22%27%3C%26%3E%5C%3D%00"),
        (
            "{{js \"\\u200b\"}} {{js \"\\x7f\"}} {{urlquery \"a b\" \"c/é~\"}}",
            "\\u200B \u{7f} a+bc%2F%C3%A9~",
        ),
        (
            "{{secret \"bytes\" | b64enc}} {{secret \"b64\" | b64dec}} {{b64dec \"YR==\"}}",
            "/wrDqQ== secret a",
        ),
        (
            "{{1.5}} {{1e3}} {{1e6}} {{0.0001}} {{0.00001}} {{-0.0}} {{123456.75}} {{100000.0}}",
            "1.5 1000 1e+06 0.0001 1e-05 -0 123456.75 100000",
        ),
        (
            "{{0x10}} {{0b11}} {{0o17}} {{017}} {{1_000}} {{'a'}} {{'\\''}} {{true}}",
            "16 3 15 15 1000 97 39 true",
        ),
        ("{{\"a\\tb\\x41\\101\\u00e9\\U0001F600\\\\\\\"\"}}{{`raw\\n`}}", "a\tbAAé😀\\\"raw\\n"),
    ]);
    check_errors(&[
        ("{{foo}}", "there is no function \"foo\""),
        ("{{call 1}}", "there is no function \"call\""),
        ("{{eq 1}}", "nothing to compare with"),
        ("{{eq 1 1.0}}", "a number and a float cannot be compared"),
        ("{{eq .SecretsMap .SecretsMap}}", "cannot be compared"),
        ("{{lt true false}}", "cannot be compared"),
        ("{{lt nil 1}}", "nil has no order"),
        ("{{len 3}}", "a number has no length"),
        ("{{slice \"abc\" 2 1}}", "the wrong way round"),
        ("{{secret \"user\" | b64dec}}", "this is no base64"),
        ("{{b64dec \"YQ==YQ==\"}}", "this is no base64"),
        ("{{b64dec \"YQ\"}}", "this is no base64"),
        ("{{\"a\" | \"b\"}}", "only a function"),
        ("{{1 2}}", "only a function"),
        ("{{nil}}", "nil alone"),
        ("{{print(1)}}", "`(` cannot stand in"),
        ("{{\"a\".x}}", "has no fields"),
        ("{{1i}}", "complex"),
        ("{{089}}", "no number"),
        ("{{9223372036854775808}}", "too large"),
        ("{{'ab'}}", "one character"),
        ("{{\"\\q\"}}", "an escape"),
    ]);
}

#[test]
fn printf() {
    check(&[
        (
            "{{printf \"host=%s port=%s\" (secret \"user\") (secret \"number\")}}",
            "host=admin port=5432",
        ),
        (
            "{{printf \"%5s|%-5s|%05s|%.2s|%q|%x|% X|%#x\" \"ab\" \"ab\" \"ab\" \"abc\" \"a\\\"b\" \"ab\" \"ab\" \"ab\"}}",
            "   ab|ab   |000ab|ab|\"a\\\"b\"|6162|61 62|0x6162",
        ),
        (
            "{{printf \"%d|%5d|%-5d|%05d|%+d|% d|%.3d|%08.3d\" 42 42 42 -42 42 42 7 7}}",
            "42|   42|42   |-0042|+42| 42|007|     007",
        ),
        (
            "{{printf \"%x|%X|%#x|%o|%O|%b|%c|%q|%U|%#U\" 255 255 255 8 8 5 65 65 65 65}}",
            "ff|FF|0xff|10|0o10|101|A|'A'|U+0041|U+0041 'A'",
        ),
        ("{{printf \"%t|%v|%6t\" true false true}}", "true|false|  true"),
        (
            "{{printf \"%f|%.2f|%08.2f|%+.1f|%e|%.3g|%G|%v\" 1.5 1.5 -1.5 1.5 1.5 1234.5678 1e-9 1e21}}",
            "1.500000|1.50|-0001.50|+1.5|1.500000e+00|1.23e+03|1E-09|1e+21",
        ),
    ]);
    check(&[
        (
            "{{printf \"%[2]s %[1]s\" \"a\" \"b\"}}{{printf \"%*d|%-*d|\" 4 42 4 42}}",
            "b a  42|42  |",
        ),
        (
            "{{printf \"%v %+v %s\" (index .SecretsArray 5) (index .SecretsArray 5) (index .SecretsArray 5)}}",
            "&{user admin} &{Alias:user Value:admin} &{user admin}",
        ),
        (
            "{{printf \"%#v %#v %#q %+q %%\" 1 \"a`b\" \"abc\" \"é\"}}",
            "1 \"a`b\" `abc` \"\\u00e9\" %",
        ),
        ("{{printf \"%T %T %T\" 1 \"a\" 1.5}}", "int string float64"),
        ("{{printf \"%q\" (secret \"bytes\")}}", "\"\\xff\\né\""),
    ]);
    // Go prints these with a complaint within the text, and the value.
    check_errors(&[
        (
            "{{printf \"%d\" (secret \"number\")}}",
            "directive 1 of the format: a text cannot be written",
        ),
        ("{{printf \"%s %s\" \"a\"}}", "directive 2 of the format: there is no value"),
        ("{{printf \"x\" (secret \"number\")}}", "takes 0 values of 1"),
        ("{{printf \"%\"}}", "there is no verb"),
        ("{{printf \"%9999999d\" 1}}", "the width is too large"),
        ("{{printf \"%.2000f\" 1.0}}", "the precision is too large"),
        ("{{printf \"%[3]d\" 1}}", "no value of that number"),
        ("{{printf \"%s\" .}}", "the whole of the data cannot"),
    ]);
}

#[test]
fn what_is_not_there_is_printed_for_summon_only() {
    for (template, expected) in [
        ("{{.SecretsMap.nope}}", "<no value>"),
        ("{{.SecretsMap.nope.Value}}", "<no value>"),
        ("{{index .SecretsMap \"nope\"}}", "<nil>"),
        ("{{print nil}}", "<nil>"),
        ("{{html nil}}", "&lt;no value&gt;"),
        ("{{printf \"%v\" nil}}", "<nil>"),
    ] {
        let made = render(template, Dialect::Summon, Limits::default()).unwrap();
        assert_eq!(String::from_utf8(made).unwrap(), expected);
        let error = render(template, Dialect::Strict, Limits::default()).unwrap_err();
        assert!(error.to_string().contains("there is no value to print here"), "{error}");
    }
}

#[test]
fn an_alias_that_was_computed_is_not_shown() {
    for template in [
        "{{secret (secret \"user\")}}",
        "{{secret \"user\" | secret}}",
        "{{print (printf \"%d\" (secret \"user\"))}}",
    ] {
        let error = render(template, Dialect::Strict, Limits::default()).unwrap_err();
        assert!(!format!("{error}{error:?}").contains("admin"), "{error}");
    }
}

#[test]
fn limits_hold() {
    let small = Limits { output: 1000, work: 5000, steps: 1000, depth: 20 };
    for (template, expected) in [
        ("{{range 1000000000}}{{end}}", "1000 steps"),
        ("{{range 1000000000}}aaaaaaaaaa{{end}}", "1000 bytes of output"),
        ("{{$x := \"aaaaaaaaaa\"}}{{range 100}}{{$x = print $x $x}}{{end}}", "bytes to go through"),
        ("{{range 7}}{{printf \"%200d\" 1}}{{end}}", "1000 bytes of output"),
        (
            "{{range 900}}{{$x := len (print \"aaaaaaaaaaaaaaaaaaaaaaaaa\")}}{{end}}",
            "bytes to go through",
        ),
        ("{{printf \"%999999d%999999d%999999d\" 1 1 1}}", "bytes of output"),
        ("{{define \"r\"}}{{template \"r\"}}{{end}}{{template \"r\"}}", "20 templates and blocks"),
    ] {
        let error = render(template, Dialect::Summon, small).unwrap_err();
        assert!(matches!(error, TemplateError::Limit { .. }), "{template}: {error}");
        assert!(error.to_string().contains(expected), "{template}: {error}");
    }
    let deep = format!("{}1{}", "{{if 1}}".repeat(5000), "{{end}}".repeat(5000));
    let parens = format!("{{{{{}1{}}}}}", "(".repeat(5000), ")".repeat(5000));
    for template in [&deep, &parens] {
        let error = render(template, Dialect::Summon, Limits::default()).unwrap_err();
        assert!(error.to_string().contains("60 blocks within one another"), "{error}");
    }
    // Chains are no depth.
    let chain = format!("{{{{if 0}}}}{}{{{{else}}}}x{{{{end}}}}", "{{else if 0}}".repeat(5000));
    assert_eq!(render(&chain, Dialect::Summon, Limits::default()).unwrap(), b"x");
    let long = "x".repeat(MOST_BYTES + 1);
    assert_eq!(
        render(&long, Dialect::Summon, Limits::default()),
        Err(TemplateError::TooLong { limit: MOST_BYTES })
    );
}

/// As deep as templates may call one another, with blocks and parentheses as deep as they may be in each.
#[test]
fn the_deepest_template_fits_on_a_small_stack() {
    let depth = 25;
    let body = format!(
        "{}{{{{template \"r\" {}.{}}}}}{}",
        "{{with .}}".repeat(depth),
        "(".repeat(depth),
        ")".repeat(depth),
        "{{end}}".repeat(depth),
    );
    let template = format!("{{{{define \"r\"}}}}{body}{{{{end}}}}{{{{template \"r\" 1}}}}");
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    let run = thread.spawn(move || render(&template, Dialect::Summon, Limits::default()));
    let error = run.unwrap().join().unwrap().unwrap_err();
    assert!(error.to_string().contains("200 templates and blocks"), "{error}");
}

#[test]
fn the_corpus_holds_its_promises() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/injector_template");
    for file in std::fs::read_dir(folder).unwrap() {
        fuzz(&std::fs::read(file.unwrap().path()).unwrap());
    }
}

mod property {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_a_template_or_an_error(text in "([a{}() .|$\"`:=,-]|\\{\\{|\\}\\}|secret|\"user\"|range|if|end|else|with|define|template|\\$x|\\.Value|printf|\"%s\"|print|1| ){0,40}") {
            fuzz(text.as_bytes());
        }

        #[test]
        fn base64_there_and_back(value in proptest::collection::vec(any::<u8>(), 0..100)) {
            let secrets = [("a".to_owned(), SecretBytes::new(value.clone()))];
            let template = Template::parse("{{secret \"a\" | b64enc | b64dec}}").unwrap();
            let made = template.render(&secrets, Dialect::Strict, Limits::default()).unwrap();
            prop_assert_eq!(made.expose(), value);
        }
    }
}
