//! What the start prints to a person.

use std::fmt::Write;
use std::path::Path;

use ingest_service::SEEDED_USERS;

/// A parcel's first steps, for a shell with curl. Each line works as it stands, after those before it.
const TOUR: &str = r#"
  Paste this to log in, register a parcel, report that it was picked up, and read it back:

    api=http://localhost:{port} json='content-type: application/json'
    login='{"username":"{username}","password":"{password}"}'
    auth="authorization: Bearer $(curl -s $api/auth/login -H "$json" -d "$login" | grep -o 'eyJ[^"]*')"
    parcel='{"client_id":"client_001","content_description":"books","weight_kg":1.2,
      "length_cm":30,"width_cm":20,"height_cm":10,
      "origin_address":"Av. Reforma 222, CDMX","origin_lat":19.43,"origin_lng":-99.16,
      "destination_address":"Calle 60 491, Mérida","destination_lat":20.97,"destination_lng":-89.62}'
    number=$(curl -s $api/shipments -H "$auth" -H "$json" -d "$parcel" | grep -o '99M-[0-9A-Z]*' | head -1)
    event="{\"tracking_number\":\"$number\",\"status\":\"picked_up\",\"source\":\"driver_app\",
      \"timestamp\":\"$(date -u +%Y-%m-%dT%H:%M:%S.999Z)\"}"
    curl -sw '\n' $api/events -H "$auth" -H "$json" -H 'prefer: wait=5' -d "$event"
    curl -sw '\n' $api/shipments/$number -H "$auth"
"#;

/// Where it listens on `port`, where its data are, and in development who may log in and what to try.
pub(crate) fn text(port: u16, file: &Path, development: bool) -> String {
    let mut text = format!("\n  Rastro listens on http://localhost:{port} and keeps its data in {}\n", file.display());
    if development {
        text.push('\n');
        for user in SEEDED_USERS {
            let client = user.client_id.map_or_else(String::new, |client| format!(" of {client}"));
            let (name, password, role) = (user.username, user.password, user.role.as_str());
            writeln!(text, "    {name:<17}{password}   {role}{client}").expect("a text takes everything");
        }
        let [first, ..] = SEEDED_USERS;
        let tour = TOUR.replace("{port}", &port.to_string());
        text += &tour.replace("{username}", first.username).replace("{password}", first.password);
    }
    text.push('\n');
    text
}
