"""What the tester cannot take from the description: how lines of JSON are written, and what formats are."""

import itertools
import json
import os
import re
from datetime import datetime, timezone

import schemathesis
from hypothesis import strategies as st


@schemathesis.serializer("application/x-ndjson")
def lines(_context, value):
    """The description gives an array, one element a line."""
    if isinstance(value, list):
        return "".join(json.dumps(element) + "\n" for element in value).encode()
    return json.dumps(value).encode()


def written(time):
    """A time as RFC 3339 writes it."""
    return time.isoformat().replace("+00:00", "Z")


# A source's clock may be five minutes ahead and no more, which no schema can say: times of the past.
past = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2025, 1, 1), timezones=st.just(timezone.utc))
schemathesis.openapi.format("date-time", past.map(written))

# A password is bounded in bytes, a schema in characters: characters of one byte each.
schemathesis.openapi.format("password", st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12))

# Which other times of a carrier's own are read depends on its vocabulary.
schemathesis.openapi.format("carrier-time", past.map(written))
schemathesis.openapi.format("time-zone", st.sampled_from(["America/Mexico_City", "utc", "Asia/Seoul"]))

# A cursor is given out by the page before; one that is made up is refused. No value begins with the first page.
schemathesis.openapi.format("cursor", st.just(""))


ADMIN = f"Bearer {os.environ['TOKEN']}"

# The key of the description's example, and how often it has been used.
EXAMPLE_KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"
uses = itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs):
    """The tester must not remove the users that it calls as, nor wait for positions that are not there."""
    if case.path_parameters.get("username") in ("admin_user", "client_user_001"):
        case.path_parameters["username"] = "nobody"
    if case.headers.get("Tracking-Position") == "":
        # It takes an empty header for one that is absent, whatever the pattern says; the service refuses it.
        del case.headers["Tracking-Position"]
    if re.fullmatch("[0-9]+:[0-9]+(,[0-9]+:[0-9]+)*", case.headers.get("Tracking-Position", "")):
        case.headers["Tracking-Position"] = "0:0"
    if case.operation.label == "POST /shipments" and case.headers.get("Authorization") == ADMIN:
        # An admin must name the client of a shipment, a client need not: the description holds for both, so a client calls.
        case.headers["Authorization"] = f"Bearer {os.environ['CLIENT_TOKEN']}"
    if case.headers.get("Idempotency-Key") == EXAMPLE_KEY:
        # One key for all bodies would leave all but the first one unread.
        case.headers["Idempotency-Key"] = f"{EXAMPLE_KEY}-{next(uses)}"
