//! The parameters behind the `?` of a path. Strict, where the usual readers are lenient: they leave a broken escape as it stands and put
//! U+FFFD for what is no UTF-8, and then a filter lists something else than was asked for.

use shared::shipment::FieldError;

/// The parameters of `query`, unescaped, in their order.
///
/// # Errors
/// Every one that is not well-formed.
pub(crate) fn parameters(query: &str) -> Result<Vec<(String, String)>, Vec<FieldError>> {
    let (mut parameters, mut errors) = (Vec::new(), Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (unescaped(name), unescaped(value)) {
            (Ok(name), Ok(value)) => parameters.push((name, value)),
            (Ok(name), Err(problem)) => errors.push(FieldError::new(name, "malformed", problem)),
            (Err(problem), _) => errors.push(FieldError::new(name, "malformed", format!("as a name, it {problem}"))),
        }
    }
    if errors.is_empty() { Ok(parameters) } else { Err(errors) }
}

fn unescaped(text: &str) -> Result<String, &'static str> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = rest.split_at_checked(2).and_then(|(digits, behind)| Some((hex(digits)?, behind)));
                let Some((byte, behind)) = digits else {
                    return Err("has a % without two hexadecimal digits behind it");
                };
                rest = behind;
                byte
            }
            byte => byte,
        });
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.contains('\0') => Err("must not contain a NUL character"),
        Ok(text) => Ok(text),
        Err(_) => Err("is not UTF-8"),
    }
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let &[high, low] = digits else { return None };
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_unescaped_in_their_order() {
        let read = |query| parameters(query).expect("well-formed");
        let own = |pairs: &[(&str, &str)]| -> Vec<_> {
            pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        assert_eq!(read(""), []);
        assert_eq!(read("a=1&&b=&c&a=2"), own(&[("a", "1"), ("b", ""), ("c", ""), ("a", "2")]));
        assert_eq!(read("a=1=2&b=x+y%2Bz"), own(&[("a", "1=2"), ("b", "x y+z")]));
        assert_eq!(read("n%61me=Z%C3%B3calo&raw=Zócalo"), own(&[("name", "Zócalo"), ("raw", "Zócalo")]));
    }

    #[test]
    fn every_parameter_that_is_not_well_formed_is_named() {
        let refused = |query: &str| -> Vec<String> {
            let errors = parameters(query).expect_err("malformed");
            assert!(errors.iter().all(|error| error.code == "malformed"));
            errors.into_iter().map(|error| error.field).collect()
        };
        for broken in ["%", "%4", "%zz", "%+1", "%-1", "a%f", "%FF", "%C3", "%ED%A0%80", "%00", "a%é"] {
            assert_eq!(refused(&format!("limit=10&search={broken}")), ["search"], "{broken}");
            assert_eq!(refused(&format!("a={broken}&{broken}=1")), ["a", broken]);
        }
    }
}
