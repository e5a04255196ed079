//! Templates as rule authors write them; expected texts are those of Prometheus' own tests where it has one.

use proptest::prelude::*;

use super::*;

fn fill(text: &str, value: f64) -> Result<String, String> {
    let labels = [("service", "shop"), ("instance", "shop-1.example.org:8080"), ("empty", "")];
    let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Template::parse(text)?.fill(&Fill { labels: &labels, value, external_url: "http://hodoscope.example" })
}

#[track_caller]
fn check(text: &str, value: f64, expected: &str) {
    assert_eq!(fill(text, value).as_deref(), Ok(expected), "{text}");
}

#[test]
fn labels_and_values_are_filled_in() {
    check("no braces", 0.0, "no braces");
    check("{{ $labels.service }} has {{ $value }} errors", 5.0, "shop has 5 errors");
    check("{{.Labels.service}}/{{.Value}}", 0.25, "shop/0.25");
    check("{{ $labels.absent }}|{{ $externalURL }}", 0.0, "|http://hodoscope.example");
    check("a  {{- $value -}}  b {{/* nothing */}}c", 1.0, "a1b c");
    check("{{ \"}}\" }}{{ `a\\b` }}", 0.0, "}}a\\b");
    check("{{ $value }} {{ $value }}", 1e21, "1e+21 1e+21");
    check("{{ $value }}", 0.00001, "1e-05");
    check("{{ $labels }}", 0.0, "map[empty: instance:shop-1.example.org:8080 service:shop]");
}

#[test]
fn numbers_are_written_for_people() {
    for (value, text) in [
        (0.0, "0"),
        (1.0, "1"),
        (1_234_567.0, "1.235M"),
        (0.12, "120m"),
        (1e-3, "1m"),
        (999.9, "999.9"),
        (-2_000.0, "-2k"),
        (f64::INFINITY, "+Inf"),
        (f64::NAN, "NaN"),
        (1e30, "1e+06Y"),
    ] {
        check("{{ humanize $value }}", value, text);
    }
    for (value, text) in [(0.0, "0"), (1_048_576.0, "1Mi"), (1_536.0, "1.5ki"), (0.5, "0.5")] {
        check("{{ $value | humanize1024 }}", value, text);
    }
    for (value, text) in [
        (0.0, "0s"),
        (1.0, "1s"),
        (60.0, "1m 0s"),
        (3_600.0, "1h 0m 0s"),
        (86_400.0 + 61.0, "1d 0h 1m 1s"),
        (0.1, "100ms"),
        (0.0001, "100us"),
        (899.99, "14m 59s"),
        (12.345678, "12.35s"),
        (-1.0, "-1s"),
        (-60.0, "-1m 0s"),
    ] {
        check("{{ $value | humanizeDuration }}", value, text);
    }
    for (value, text) in [(0.1234567, "12.35%"), (1.0, "100%"), (-1.0, "-100%")] {
        check("{{ $value | humanizePercentage }}", value, text);
    }
    check("{{ $value | humanizeTimestamp }}", 1_435_065_584.128, "2015-06-23 13:19:44.128 +0000 UTC");
}

#[test]
fn values_of_alerts_are_scientific() {
    for (value, text) in [(1.0, "1e+00"), (0.25, "2.5e-01"), (1_234_500.0, "1.2345e+06"), (0.0, "0e+00")] {
        assert_eq!(go_scientific(value), text);
    }
}

#[test]
fn printf_is_gos() {
    check("{{ printf \"%.2f of %5.1f%% %s\" $value 12.0 $labels.service }}", 1.0, "1.00 of  12.0% shop");
    check("{{ $value | printf \"%d|%05d|%-5d|\" 7 42 }}", 3.0, "7|00042|3    |");
    check("{{ printf \"%q %v %g %e %x\" \"a\" true 0.5 1000.0 255.0 }}", 0.0, "\"a\" true 0.5 1.000000e+03 ff");
    assert!(fill("{{ printf \"%y\" 1 }}", 0.0).is_err());
    assert!(fill("{{ printf \"%s\" }}", 0.0).is_err());
    assert!(fill("{{ printf \"%9999999d\" 1 }}", 0.0).is_err());
}

#[test]
fn conditions_and_texts() {
    let text = "{{ if gt $value 5.0 }}high{{ else if eq $labels.service \"shop\" }}shop{{ else }}low{{ end }}";
    check(text, 6.0, "high");
    check(text, 1.0, "shop");
    check("{{ if and $labels.service (not $labels.empty) }}yes{{ end }}", 0.0, "yes");
    check("{{ if or false (le $value 1.0) }}{{ if true }}deep{{ end }}{{ end }}", 1.0, "deep");
    check(
        "{{ $labels.instance | stripPort }} {{ stripDomain $labels.instance }}",
        0.0,
        "shop-1.example.org shop-1:8080",
    );
    check(
        "{{ reReplaceAll \"(\\\\w+)-(\\\\d)\" \"$2/$1\" $labels.instance | toUpper | title }}",
        0.0,
        "1/SHOP.EXAMPLE.ORG:8080",
    );
    check("{{ match \"^sh\" $labels.service }} {{ index $labels \"service\" }} {{ len $labels }}", 0.0, "true shop 3");
    check("{{ parseDuration \"1h30m\" | humanizeDuration }} {{ urlquery \"a b/c\" }}", 0.0, "1h 30m 0s a+b%2Fc");
}

#[test]
fn what_is_not_known_is_refused_when_it_is_read() {
    for (text, told) in [
        ("{{ humanise $value }}", "did you mean humanize?"),
        ("{{ query \"up\" }}", "needs PromQL"),
        ("{{ range $labels }}{{ end }}", "no loops"),
        ("{{ if $value }}", "without {{ end }}"),
        ("{{ end }}", "without an {{ if }}"),
        ("{{ $value", "{{ without }}"),
        ("{{ $x }}", "$x is not known"),
        ("{{ humanize }}", "takes 1 arguments, not 0"),
        ("{{ $value | $labels }}", "must be a function"),
        ("{{ ($value }}", "( is not closed"),
        ("{{ $value ) }}", ") has no ("),
        ("{{ \"a }}", "{{ without }}"),
        ("{{}}", "something is missing"),
    ] {
        let error = Template::parse(text).expect_err(text);
        assert!(error.contains(told), "{text}: {error}");
    }
}

/// S13: no template makes more than 16 KiB.
#[test]
fn s13_texts_have_an_end() {
    let labels = BTreeMap::from([("long".to_owned(), "x".repeat(3_000))]);
    let fill = Fill { labels: &labels, value: 0.0, external_url: "" };
    let many = Template::parse(&"{{ $labels.long }}".repeat(6)).expect("a template");
    assert!(many.fill(&fill).expect_err("too long").contains("16384"));
    let grows = "{{ reReplaceAll \"x\" \"xxxxxxxxxx\" $labels.long }}";
    assert!(Template::parse(grows).expect("a template").fill(&fill).is_err());
    assert!(Template::parse(&" ".repeat(17_000)).is_err());
    assert!(Template::parse(&format!("{{{{ {}1{} }}}}", "(".repeat(30), ")".repeat(30))).is_err());
}

proptest! {
    #[test]
    fn no_template_panics(text in "(\\{\\{|\\}\\}|if|end|else|[ -~]){0,30}", value in any::<f64>()) {
        let _ = fill(&text, value);
    }
}
