use super::*;

#[test]
fn every_bad_field_is_named_at_once() {
    let body = json!({"name": 7, "weight": -1, "when": "noon", "inner": {"email": ""}, "surprise": 1});
    let mut form = Form::of(body).expect("an object");
    form.text("name", 10);
    form.number("weight", (Bound::Excluded(0.0), Bound::Included(10.0)));
    form.timestamp("when");
    form.text("absent", 10);
    form.optional_object("inner", UnknownFields::Refuse, |inner| inner.text("email", 10));
    let errors = form.finish(UnknownFields::Refuse).expect_err("all are wrong");
    let found: Vec<_> = errors.iter().map(|error| (error.field.as_str(), error.code)).collect();
    let expected = [
        ("name", "wrong_type"),
        ("weight", "out_of_range"),
        ("when", "malformed"),
        ("absent", "required"),
        ("inner.email", "too_short"),
        ("surprise", "unknown_field"),
    ];
    assert_eq!(found, expected);
    assert_eq!(errors[1].message, "must be greater than 0 and at most 10");
}

// contract: "a slug `[a-z0-9_-]{1,64}`"
#[test]
fn a_slug_is_of_lower_case_digits_and_dashes_and_bounded() {
    let read = |text: &str| {
        let mut form = Form::of(json!({"source": text})).expect("an object");
        let slug = form.slug("source", super::super::limits::SLUG);
        form.finish(UnknownFields::Refuse).map(|()| slug)
    };
    let longest = "x".repeat(64);
    for good in ["driver_app", "hub-7", "0", &longest] {
        assert_eq!(read(good).as_deref(), Ok(good));
    }
    let too_long = "x".repeat(65);
    for bad in ["", "Driver", "a b", "a.b", "bodega_ñ", &too_long] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn null_counts_as_absent() {
    let mut form = Form::of(json!({"place": null})).expect("an object");
    assert_eq!(form.optional_text("place", 10), None);
    assert_eq!(form.finish(UnknownFields::Refuse), Ok(()));
}
