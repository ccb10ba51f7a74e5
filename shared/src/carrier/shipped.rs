//! The mappings that are compiled in: those of `deploy/carriers`, so that a program has them with no setting at all.

use super::CarrierFile;

macro_rules! files {
    ($($carrier:ident),+ $(,)?) => {
        [$((
            concat!("deploy/carriers/", stringify!($carrier), ".toml"),
            include_str!(concat!("../../../deploy/carriers/", stringify!($carrier), ".toml")),
        )),+]
    };
}

const FILES: &[(&str, &str)] = &files![
    a1_international,
    amazon_logistics,
    amazon_shipping,
    australia_post,
    austrian_post,
    best_express,
    canada_post,
    china_ems,
    china_post,
    chronopost,
    cj_logistics,
    correios_br,
    delhivery,
    dhl_ecommerce_us,
    dhl_express,
    dhl_global_forwarding,
    dhl_parcel_de,
    dhl_supply_chain,
    dpd,
    fedex,
    gls,
    icaro_express,
    inpost,
    jne,
    korea_post,
    la_poste,
    landmark_global,
    lasership,
    logen,
    lotte_kr,
    meest,
    morneau,
    newgistics,
    np_shopping,
    ontrac,
    postnl,
    sicepat,
    swiss_post,
    ups,
    ups_mail_innovations,
    usps,
    yto,
    zto,
];

/// The files.
#[must_use]
pub fn files() -> Vec<CarrierFile> {
    let owned = |&(name, text): &(&str, &str)| CarrierFile { name: name.to_owned(), text: text.to_owned() };
    FILES.iter().map(owned).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::carrier::CarrierSet;
    use crate::shipment::{Claim, Kind, Status};

    #[test]
    fn every_shipped_file_is_compiled_in_and_well() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/carriers");
        let names =
            std::fs::read_dir(directory).expect("the directory").map(|entry| entry.expect("an entry").file_name());
        let mut there: Vec<_> = names.map(|name| format!("deploy/carriers/{}", name.to_string_lossy())).collect();
        there.sort();
        assert_eq!(files().into_iter().map(|file| file.name).collect::<Vec<_>>(), there);
        let set = CarrierSet::parse(&files()).expect("well");
        assert_eq!(set.iter().count(), there.len());
    }

    #[test]
    fn the_shipped_carriers_are_read_by_code_and_where_that_says_nothing_by_text() {
        let set = CarrierSet::parse(&files()).expect("well");
        let read = |carrier: &str, code, text| {
            let reading = set.get(carrier).expect("shipped").read(code, text);
            (reading.claim, reading.reason)
        };
        let status = |status| (Claim::Status(status), None);
        let kind =
            |kind, reason: &str| (Claim::Kind(kind), Some(reason.to_owned()).filter(|reason| !reason.is_empty()));
        assert_eq!(read("fedex", Some("DL/014"), None), status(Status::Delivered));
        assert_eq!(read("fedex", Some("FPX_L_RPIF"), Some("picked  UP")), status(Status::PickedUp));
        assert_eq!(read("fedex", Some("FPX_L_RPIF"), Some("Sorted by an owl")), kind(Kind::Other, ""));
        assert_eq!(read("correios_br", Some("PAR/17"), None), kind(Kind::Exception, "customs"));
        assert_eq!(
            read("correios_br", None, Some("OBJETO EM TRÂNSITO - por favor aguarde")),
            status(Status::InTransit)
        );
        assert_eq!(read("postnl", Some("01B"), Some("Zending is bezorgd")), status(Status::Delivered));
        assert_eq!(read("postnl", Some("01B"), None), kind(Kind::Other, ""));
        assert_eq!(read("dhl_express", Some("NH"), None), kind(Kind::DeliveryAttemptFailed, "recipient_absent"));
    }
}
