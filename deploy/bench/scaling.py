#!/usr/bin/env python3
"""How processors share the work: for each number of them and of partitions a backlog, a member that joins, one that leaves and one that
is killed. Run by scaling.sh; needs nothing beside Python. Prints one line of JSON for each, and a table on standard error at the end.

    scaling.py PROCESSOR-SERVICE        the names of what it makes go into the file of STAGES
    scaling.py drop HOST:PORT NAME      removes a database again

On one machine more processors share the same cores, so the rate says what sharing costs, and not what more machines bring.
"""

import datetime
import itertools
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "local"))
import replica_set  # the wire protocol, as far as it is needed

# Longest time that anything is waited for, in seconds: ten times what it should take.
PATIENCE = 120
# How often is looked: a tenth of the shortest time that is told.
LOOK = 0.05
# How often lines of the flow are written.
TICK = 0.05
# Records that an import appends at once: the lag goes up by so many at a time, though nothing stands still.
APPENDED = 1000

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
MOVES = ["picked_up", "in_warehouse", "in_transit", "delivered"]
DAY = datetime.datetime(2025, 2, 12, 8, tzinfo=datetime.timezone.utc)


def number(shipment):
    """A tracking number, spread over the keys as the real ones are."""
    mixed, digits = (shipment * 0x9E3779B1 + 12345) % 2**40, ""
    for _ in range(8):
        mixed, digit = divmod(mixed, 32)
        digits += ALPHABET[digit]
    return f"99M-{digits}"


def line(kind, tracking_number, moment, value):
    at = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    headers = {"ce_specversion": "1.0", "ce_id": value.get("event_id", f"created-{tracking_number}"),
               "ce_type": f"com.rastro.shipment.{kind}.v1", "ce_source": "/rastro/ingest-service", "ce_time": at,
               "ce_subject": tracking_number, "content-type": "application/json",
               "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    record = {"partition": 0, "offset": 0, "timestamp": int(moment.timestamp() * 1000), "key": tracking_number,
              "headers": list(headers.items()), "value": json.dumps(value, ensure_ascii=False, separators=(",", ":"))}
    return json.dumps(record, ensure_ascii=False) + "\n"


def created(shipment):
    value = {"origin_address": "Calle 5 #123, Ciudad de México", "origin_lat": 19.4326, "origin_lng": -99.1332,
             "destination_address": "Avenida Paseo #456, Puebla", "destination_lat": 19.0414, "destination_lng": -98.2063,
             "weight_kg": 5.5, "length_cm": 30, "width_cm": 20.25, "height_cm": 15, "content_description": "Electrónica",
             "client_id": "client_001", "service_type": "standard", "transition_policy": "strict",
             "tracking_number": number(shipment), "created_at": "2025-02-12T08:00:00Z",
             "estimated_delivery": "2025-02-17T08:00:00Z", "allow_cancel_in_transit": False}
    return line("created", number(shipment), DAY, value)


def reported(shipment, step):
    moment = DAY + datetime.timedelta(hours=step + 1, seconds=shipment % 3600)
    # As long as the real one; the processor makes its own out of the content.
    value = {"event_id": f"evt_{number(shipment)[4:]}_{step:022d}", "tracking_number": number(shipment),
             "status": MOVES[step], "timestamp": moment.isoformat().replace("+00:00", "Z"), "source": "driver_app",
             "location": {"lat": 19.432608, "lng": -99.133209}, "notes": "Entregado en andén 4",
             "recorded_at": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
             "reporter": {"sub": "driver_user_001", "role": "source"}}
    return line("status_reported", number(shipment), moment, value)


def records(first, shipments):
    """All creations, then all first moves, and so on: a shipment comes again when the others have been there."""
    numbers = range(first, first + shipments)
    yield from (created(shipment) for shipment in numbers)
    for step in range(len(MOVES)):
        yield from (reported(shipment, step) for shipment in numbers)


def say(text):
    print(f"== {text}", file=sys.stderr, flush=True)


def wait_for(what, condition, state=str):
    until = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > until:
            raise SystemExit(f"{what}: not within {PATIENCE} s {state()}")
        time.sleep(LOOK)
    return found


class Processor:
    """A member of the group."""

    def __init__(self, program, environment, work):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = open(os.path.join(work, f"processor-{self.port}.log"), "wb")
        environment = {**environment, "PORT": str(self.port)}
        self.process = subprocess.Popen([program], env=environment, stdout=self.log, stderr=subprocess.STDOUT)
        self.last = (0, {})

    def look(self):
        """How many events it has judged, and its partitions with their lags. What a dead one judged still counts."""
        if self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=2) as answer:
                    text = answer.read().decode()
            except OSError:
                return self.last
            judged = sum(float(value) for value in re.findall(r"^shipping_outcomes_total\{.*\} (\S+)$", text, re.M))
            lags = re.findall(r'^shipping_consumer_lag\{partition="(\d+)"\} (\S+)$', text, re.M)
            self.last = (int(judged), {int(partition): float(lag) for partition, lag in lags})
        else:
            self.last = (self.last[0], {})
        return self.last

    def cpu(self):
        """Seconds of processor time so far."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(timeout=60)
        self.log.close()


class Flow:
    """So many events a second, until it is ended: an import that reads what is written into a pipe."""

    def __init__(self, import_from, work, rate, source):
        self.path = os.path.join(work, "flow")
        os.mkfifo(self.path)
        self.importer = import_from(self.path)
        self.rate, self.source, self.ended = rate, source, threading.Event()
        self.thread = threading.Thread(target=self.write)
        self.thread.start()

    def write(self):
        with open(self.path, "w", encoding="utf-8") as pipe:
            begun, written = time.monotonic(), 0
            while not self.ended.wait(TICK):
                due = int((time.monotonic() - begun) * self.rate) - written
                for text in itertools.islice(self.source, max(due, 0)):
                    pipe.write(text)
                    written += 1
                pipe.flush()

    def end(self):
        self.ended.set()
        self.thread.join()
        self.importer.wait(timeout=PATIENCE)
        os.unlink(self.path)


class Stage:
    """One topic with its group and database."""

    def __init__(self, program, partitions, work):
        self.program, self.partitions, self.work = program, partitions, work
        name = f"rastro_measured_scaling_{os.getpid()}_{partitions}_{time.time_ns() % 10**9}"
        own = {"KAFKA_TOPIC": f"{name}.events", "KAFKA_GROUP": name, "MONGO_DB": name, "ENV": "development",
               "KAFKA_PARTITIONS": str(partitions), "LOG_LEVEL": "warn"}
        self.name, self.environment, self.members, self.gone = name, {**os.environ, **own}, [], []

    def import_from(self, path):
        return subprocess.Popen([self.program, "import", path], env=self.environment, stdout=subprocess.DEVNULL,
                                stderr=open(os.path.join(self.work, "import.log"), "wb"))

    def join(self):
        self.members.append(Processor(self.program, self.environment, self.work))
        return self.members[-1]

    def drop(self, member, how):
        member.look()
        self.members.remove(member)
        self.gone.append(member)
        member.end(how)

    def judged(self):
        return sum(member.look()[0] for member in self.members + self.gone)

    def owned(self):
        return [set(member.look()[1]) for member in self.members]

    def lag(self):
        return sum(sum(lags.values()) for lags in self.lags())

    def lags(self):
        return [member.look()[1] for member in self.members]

    def is_shared_out(self):
        """Each partition has one owner, and nobody has two more than another one."""
        owned = self.owned()
        counts = [len(partitions) for partitions in owned]
        everything = set().union(*owned)
        return len(everything) == self.partitions == sum(counts) and max(counts) - min(counts) <= 1

    def end(self):
        for member in self.members:
            member.end()


def timed(what, stage):
    begun = time.monotonic()
    wait_for(what, stage.is_shared_out, stage.lags)
    return round(time.monotonic() - begun, 2)


def measure(stage, processors, shipments, rate):
    backlog = shipments * (1 + len(MOVES))
    path = os.path.join(stage.work, "backlog")
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(records(0, shipments))
    first = stage.join()  # makes the topic
    wait_for("a first owner", stage.is_shared_out)
    stage.drop(first, signal.SIGTERM)
    if stage.import_from(path).wait(timeout=PATIENCE) != 0:
        raise SystemExit(open(os.path.join(stage.work, "import.log"), encoding="utf-8").read())

    for _ in range(processors):
        stage.join()
    wait_for("the first event", stage.judged)
    begun, before = time.monotonic(), stage.judged()
    wait_for("the end of the backlog", lambda: stage.judged() >= backlog)
    took = time.monotonic() - begun
    result = {"processors": processors, "partitions": stage.partitions, "backlog": backlog,
              "events_per_second": round((backlog - before) / took),
              "cpu_us_per_event": round(sum(member.cpu() for member in stage.members) / backlog * 1e6, 1)}
    wait_for("an even share", stage.is_shared_out)

    flow = Flow(stage.import_from, stage.work, rate, records(shipments, 10**7))
    wait_for("the flow", lambda: stage.judged() >= backlog + rate)
    stage.join()
    result["joined_seconds"] = timed("a share for who joined", stage)
    stage.drop(stage.members[0], signal.SIGTERM)
    result["left_seconds"] = timed("new owners after one left", stage)
    if processors == 1:  # nobody else is there: what counts is how soon another one goes on
        stage.join()
        wait_for("a second member", stage.is_shared_out)
    stage.drop(stage.members[0], signal.SIGKILL)
    begun = time.monotonic()
    result["killed_seconds"] = timed("new owners after one was killed", stage)
    # As it is when nothing happens: lags are told once a second, and offsets committed twice.
    usual = rate + 2 * APPENDED
    wait_for("the lag to be gone", lambda: stage.is_shared_out() and stage.lag() <= usual, stage.lags)
    result["recovered_seconds"] = round(time.monotonic() - begun, 2)
    flow.end()
    return result


def drop_database(address, name):
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        message = struct.pack("<iB", 0, 0) + replica_set.encode({"dropDatabase": 1, "$db": name})
        connection.sendall(struct.pack("<iiii", len(message) + 16, 1, 0, replica_set.OP_MSG) + message)
        reply = connection.makefile("rb")
        size = struct.unpack("<i", reply.read(4))[0]
        answer = replica_set.decode(reply.read(size - 4)[12 + 5:])
    if answer.get("ok") != 1:
        raise SystemExit(f"{name}: {answer.get('errmsg')}")


def main():
    if sys.argv[1] == "drop":
        return drop_database(*sys.argv[2:])
    program = sys.argv[1]
    numbers = lambda name, default: [int(word) for word in os.environ.get(name, default).split()]
    shipments, rate = numbers("SHIPMENTS", "20000")[0], numbers("RATE", "1000")[0]
    results, names = [], []
    for partitions, processors in itertools.product(numbers("PARTITIONS", "12 48"), numbers("PROCESSORS", "1 2 4 8")):
        say(f"{processors} processors, {partitions} partitions")
        with tempfile.TemporaryDirectory() as work:
            stage = Stage(program, partitions, work)
            names.append(stage.name)
            print(stage.name, file=open(os.environ["STAGES"], "a", encoding="ascii"))
            try:
                result = measure(stage, processors, shipments, rate)
            finally:
                stage.end()
        print(json.dumps(result), flush=True)
        results.append(result)
    head = list(results[0])
    for row in [head, ["---:"] * len(head)] + [list(result.values()) for result in results]:
        print("| " + " | ".join(str(cell) for cell in row) + " |", file=sys.stderr)


if __name__ == "__main__":
    main()
