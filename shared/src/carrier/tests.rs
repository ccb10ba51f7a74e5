//! Mapping files: what is refused, by file and line, and which rule reads a scan.

use super::*;
use crate::shipment::{Claim, Kind, Status};

fn file(name: &str, text: &str) -> CarrierFile {
    CarrierFile { name: name.to_owned(), text: text.to_owned() }
}

/// The vocabulary that `rules` make.
fn andes(rules: &str) -> CarrierMapping {
    let text = format!("carrier = \"andes\"\n{rules}");
    let set = CarrierSet::parse(&[file("andes.toml", &text)]).expect("well");
    set.get("andes").expect("loaded").clone()
}

/// What is wrong with a file of `lines`, of which the first names the carrier and the second one is empty.
fn wrong(lines: &str) -> Vec<String> {
    let text = format!("carrier = \"andes\"\n\n{lines}");
    let problems = CarrierSet::parse(&[file("maps/andes.toml", &text)]).err().unwrap_or_default();
    problems.iter().map(ToString::to_string).collect()
}

const WELL: &str = "[[rule]]\ncode = \"A\"\nstatus = \"delivered\"\n";

#[test]
fn each_mistake_is_named_with_file_and_line() {
    let rule = |members: &str| format!("[[rule]]\n{members}\n");
    let cases: &[(String, &str)] = &[
        (format!("zonne = \"UTC\"\n{WELL}"), "maps/andes.toml:3: unknown member \"zonne\"; known are carrier, zone, "),
        (
            format!("zone = \"America/Macondo\"\n{WELL}"),
            "maps/andes.toml:3: zone \"America/Macondo\" is no zone of the IANA",
        ),
        (format!("zone = 3\n{WELL}"), "maps/andes.toml:3: zone must be text in quotes, not an integer"),
        (
            format!("time_formats = [\"%d/%m/%Y\", \"%H:%M\"]\n{WELL}"),
            "maps/andes.toml:3: the time format \"%H:%M\" does not work: ",
        ),
        (format!("time_formats = []\n{WELL}"), "maps/andes.toml:3: time_formats is an empty list"),
        (String::new(), "maps/andes.toml:1: there is no [[rule]]"),
        ("[rule]\ncode = \"A\"".to_owned(), "maps/andes.toml:3: rule must be written [[rule]], once for each"),
        (
            rule("code = \"A\"\nstatuss = \"delivered\"\nkind = \"other\""),
            "maps/andes.toml:5: unknown member \"statuss\"",
        ),
        (
            rule("code = \"A\"\nstatus = \"lost\""),
            "maps/andes.toml:5: status \"lost\": unknown status; it is one of picked_up, ",
        ),
        (
            rule("code = \"A\"\nstatus = \"created\""),
            "maps/andes.toml:5: status \"created\": no scan creates a shipment; ",
        ),
        (
            rule("code = \"A\"\nkind = \"lost\""),
            "maps/andes.toml:5: kind \"lost\": unknown kind; it is one of info_received, ",
        ),
        (
            rule("code = \"A\"\nkind = \"other\"\nstatus = \"delivered\""),
            "maps/andes.toml:5: a rule has a status or a kind, not both",
        ),
        (rule("code = \"A\""), "maps/andes.toml:3: a rule needs a status or a kind"),
        (
            rule("code = \"A\"\nkind = \"other\"\nreason = \"Not home\""),
            "maps/andes.toml:6: reason \"Not home\" is no slug: ",
        ),
        (rule("kind = \"other\""), "maps/andes.toml:3: a rule needs a code, a code_pattern, a text or a text_pattern"),
        (rule("code = \" \"\nkind = \"other\""), "maps/andes.toml:4: code is empty"),
        (rule("text_pattern = \"\"\nkind = \"other\""), "maps/andes.toml:4: text_pattern is empty"),
        (rule("text = [\"a\", 7]\nkind = \"other\""), "maps/andes.toml:4: text must be text in quotes, not an integer"),
        (
            rule("code = \"A\"\ncode_pattern = \"B\"\nkind = \"other\""),
            "maps/andes.toml:5: a rule has a code or a code_pattern, not both",
        ),
        (
            rule("code_pattern = \"A(\"\nkind = \"other\""),
            "maps/andes.toml:4: the pattern \"A(\" is wrong: unclosed group",
        ),
        (
            rule("text_pattern = \"a)|(b\"\nkind = \"other\""),
            "maps/andes.toml:4: the pattern \"a)|(b\" is wrong: unopened group",
        ),
        (
            rule("text_pattern = \"(a{1000}){1000}\"\nkind = \"other\""),
            "maps/andes.toml:4: the pattern \"(a{1000}){1000}\" is wrong: it takes more than",
        ),
        (
            rule(&format!("text_pattern = \"{}\"\nkind = \"other\"", "a".repeat(501))),
            "maps/andes.toml:4: a pattern has at most 500 characters",
        ),
        (
            rule(&format!("code = \"{}\"\nkind = \"other\"", "a".repeat(81))),
            "maps/andes.toml:4: a code has at most 80 characters",
        ),
        (format!("zone = 7 8\n{WELL}"), "maps/andes.toml:3: no TOML: "),
        (format!("{WELL}code = \"B\"\n"), "maps/andes.toml:6: no TOML: duplicate key"),
    ];
    for (lines, expected) in cases {
        let problems = wrong(lines);
        assert!(problems.len() == 1 && problems[0].starts_with(expected), "{lines}\n{expected}\n{problems:#?}");
    }
}

#[test]
fn two_rules_for_one_code_are_named_with_both_lines() {
    let twice = |first: &str, second: &str| {
        wrong(&format!("[[rule]]\n{first}\nkind = \"other\"\n[[rule]]\n{second}\nstatus = \"delivered\"\n"))
    };
    for (first, second, what) in [
        ("code = \"DL\"", "code = \"DL\"", "the code \"DL\""),
        ("code = [\"OK\", \"DL\"]", "code = \" DL \"", "the code \"DL\""),
        ("code_pattern = \"D.\"", "code_pattern = \"D.\"", "the code_pattern \"D.\""),
        ("text = \"In  Transit\"", "text = \"in transit\"", "the text \"in transit\""),
        ("text_pattern = \"in .*\"", "text_pattern = \"in .*\"", "the text_pattern \"in .*\""),
        ("code = \"DL\"\ntext = \"x\"", "code = \"DL\"\ntext = \"X\"", "the code \"DL\" with the text \"x\""),
    ] {
        let line = 3 + first.lines().count() + 3;
        let expected = format!("maps/andes.toml:{line}: {what} has a rule already, in line 4");
        assert_eq!(twice(first, second), [expected]);
    }
    for (first, second) in [
        ("code = \"DL\"", "code = \"dl\""),
        ("code = \"DL\"", "code = \"DL\"\ntext = \"x\""),
        ("code = \"DL\"", "code_pattern = \"DL\""),
        ("text = \"x\"", "code = \"DL\"\ntext = \"x\""),
    ] {
        assert_eq!(twice(first, second), [] as [&str; 0], "{first} / {second}");
    }
    let own = wrong("[[rule]]\ncode = [\"A\", \"A\"]\nkind = \"other\"\n");
    assert_eq!(own, ["maps/andes.toml:4: the code \"A\" has a rule already, in line 4"]);
}

#[test]
fn all_problems_of_all_files_are_named_at_once_in_the_order_of_the_lines() {
    let broken = "zone = \"Nowhere\"\n[[rule]]\nkind = \"lost\"\n[[rule]]\ncode = \"A\"\n";
    let files = [
        file("a/andes.toml", broken),
        file("a/pampa.toml", &format!("carrier = \"pampa\"\n{WELL}")),
        file("a/puna.toml", &format!("carrier = \"Puna\"\n{WELL}")),
        file("a/selva.toml", &format!("carrier = \"costa\"\n{WELL}")),
        file("b/pampa.toml", &format!("carrier = \"pampa\"\n{WELL}")),
    ];
    let problems = CarrierSet::parse(&files).expect_err("broken");
    let shown: Vec<_> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        "a/andes.toml:1: zone \"Nowhere\" is no zone of the IANA database, such as America/Mexico_City",
        "a/andes.toml:1: carrier is missing; it is the name of the file: \"andes\"",
        "a/andes.toml:2: a rule needs a code, a code_pattern, a text or a text_pattern",
        "a/andes.toml:3: kind \"lost\": unknown kind",
        "a/andes.toml:4: a rule needs a status or a kind",
        "a/puna.toml:1: carrier \"Puna\" is no slug",
        "a/selva.toml:1: the carrier is \"costa\" and the file is selva.toml; they must have one name",
        "b/pampa.toml:1: the carrier \"pampa\" has a file already: a/pampa.toml",
    ];
    assert_eq!(shown.len(), expected.len(), "{shown:#?}");
    for expected in expected {
        assert!(shown.iter().any(|problem| problem.starts_with(expected)), "{expected}\n{shown:#?}");
    }
    let lines: Vec<_> = problems.iter().take(5).map(|problem| problem.line).collect();
    assert!(lines.is_sorted(), "{lines:?}");
}

#[test]
fn a_file_is_bounded() {
    let rules: String = (0..2_001).map(|code| format!("[[rule]]\ncode = \"{code}\"\nkind = \"other\"\n")).collect();
    assert_eq!(wrong(&rules), ["maps/andes.toml:1: there are 2001 rules, more than 2000"]);
    let patterns: String =
        (0..101).map(|code| format!("[[rule]]\ntext_pattern = \"a{code}\"\nkind = \"other\"\n")).collect();
    assert_eq!(wrong(&patterns), ["maps/andes.toml:304: there are more than 100 patterns"]);
    let list = |name: &str| format!("{name} = [{}]", (0..101).map(|one| format!("\"{one}\",")).collect::<String>());
    let pairs = format!("[[rule]]\n{}\n{}\nkind = \"other\"\n", list("code"), list("text"));
    assert_eq!(wrong(&pairs), ["maps/andes.toml:4: there are more than 10000 pairs of a code and a text"]);
    let long = format!("{WELL}#{}", "-".repeat(FILE_BYTES));
    assert!(wrong(&long)[0].starts_with("maps/andes.toml:1: the file has "), "{:?}", wrong(&long));
}

fn read(mapping: &CarrierMapping, code: &str, text: &str) -> (&'static str, &'static str) {
    let given = |word: &str| Some(word.to_owned()).filter(|word| !word.is_empty());
    let reading = mapping.read(given(code).as_deref(), given(text).as_deref());
    let rule = match reading.rule {
        DecidedBy::Code => "code",
        DecidedBy::Text => "text",
        DecidedBy::None => "none",
    };
    (reading.claim.as_str(), rule)
}

#[test]
fn the_very_code_comes_before_patterns_and_with_a_text_before_alone() {
    let mapping = andes(
        r#"
        [[rule]]
        text_pattern = "(?:.* )?delayed.*"
        kind = "exception"
        [[rule]]
        code_pattern = "X.*"
        kind = "customs"
        [[rule]]
        code = ["X1", "X2"]
        status = "in_transit"
        [[rule]]
        code = "X1"
        text_pattern = "arrived .*"
        status = "in_warehouse"
        [[rule]]
        code = "X1"
        text = "Arrived and delivered"
        status = "delivered"
        [[rule]]
        code_pattern = "X9"
        status = "delivered"
        "#,
    );
    for (code, text, expected) in [
        ("X1", "", ("in_transit", "code")),
        ("X1", "Delayed", ("in_transit", "code")),
        ("X1", "ARRIVED  in Lima", ("in_warehouse", "code")),
        ("X1", "Arrived and delivered", ("in_warehouse", "code")),
        (" X2 ", "arrived in Lima", ("in_transit", "code")),
        ("X9", "", ("customs", "code")),
        ("X9", "Is delayed", ("exception", "text")),
        ("x1", "", ("other", "none")),
        ("", "Parcel\n delayed by rain", ("exception", "text")),
        ("Q", "Not so much", ("other", "none")),
        ("", "arrived in Lima", ("other", "none")),
    ] {
        assert_eq!(read(&mapping, code, text), expected, "{code} {text}");
    }
}

#[test]
fn a_pattern_fits_the_whole_and_texts_know_no_capitals() {
    let mapping = andes(
        r#"
        [[rule]]
        code_pattern = "DL|DL/[0-9]+"
        status = "delivered"
        [[rule]]
        text = ["Objeto em TRÂNSITO", "妥投"]
        status = "in_transit"
        [[rule]]
        text_pattern = "(?-i:OK)|straße [a-zñ]+"
        kind = "customs"
        "#,
    );
    for (code, text, expected) in [
        ("DL/014", "", "delivered"),
        ("DL/014/2", "", "other"),
        ("XDL", "", "other"),
        ("dl", "", "other"),
        ("", "objeto  em trânsito ", "in_transit"),
        ("", "妥投", "in_transit"),
        ("", "Objeto em TRÂNSITO agora", "other"),
        ("", "OK", "customs"),
        ("", "ok", "other"),
        ("", "STRASSE A", "other"),
        ("", "Straße MAÑANA", "customs"),
    ] {
        assert_eq!(read(&mapping, code, text).0, expected, "{code} {text}");
    }
}

#[test]
fn a_rule_gives_its_reason_and_an_unknown_code_is_other() {
    let mapping = andes("[[rule]]\ncode = \"NH\"\nkind = \"delivery_attempt_failed\"\nreason = \"recipient_absent\"\n");
    let known = mapping.read(Some("NH"), None);
    assert_eq!(known.claim, Claim::Kind(Kind::DeliveryAttemptFailed));
    assert_eq!((known.reason.as_deref(), known.is_mapped()), (Some("recipient_absent"), true));
    let unknown = mapping.read(Some("ZZ"), Some("whatever"));
    assert_eq!(
        (unknown.claim, unknown.reason.as_deref(), unknown.is_mapped()),
        (Claim::Kind(Kind::Other), None, false)
    );
    let json = serde_json::json!({"kind": "delivery_attempt_failed", "reason": "recipient_absent", "rule": "code"});
    assert_eq!(serde_json::to_value(known).expect("serialises"), json);
    let status = andes(WELL).read(Some("A"), None);
    assert_eq!(status.claim, Claim::Status(Status::Delivered));
    assert_eq!(
        serde_json::to_value(status).expect("serialises"),
        serde_json::json!({"status": "delivered", "rule": "code"})
    );
}

#[test]
fn the_zone_of_the_request_comes_before_the_file_s() {
    let mapping = andes(&format!("zone = \"America/Mexico_City\"\ntime_formats = [\"%d/%m/%Y %H:%M\"]\n{WELL}"));
    let read = |zone: Option<&str>| {
        let zone = zone.map(|zone| Zone::named(zone).expect("a zone"));
        mapping.read_time("12/02/2025 09:04", zone.as_ref()).expect("a time")
    };
    assert_eq!(read(None).timestamp.to_string(), "2025-02-12T15:04:00Z");
    assert_eq!(read(None).zone.as_ref().map(Zone::name), Some("America/Mexico_City"));
    assert_eq!(read(Some("America/Tijuana")).timestamp.to_string(), "2025-02-12T17:04:00Z");
    assert_eq!(andes(WELL).read_time("2025-02-12 09:04", None), Err(TimeError::NoZone));
}
