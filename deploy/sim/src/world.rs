//! A schedule and the world that it runs in: a broker, owners of partitions that come, freeze, die and come back, and one step at a time.
//!
//! Everything that happens is a function of the workload and the steps: one thread, no clock but a virtual one, no other source of chance.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::event_log::{LogRecord, PartitionConsumer, Position};
use shared::shipment::Timestamp;

use crate::dice::Dice;
use crate::owner::{LANES, Owner};
use crate::platform::Platform;
use crate::ports::Verdict;
use crate::specification::check::Checker;
use crate::specification::workload::Workload;

/// One step: what happens (a kind of `World::step`), to whom, how, and how much of it. All zeros is the step of a calm world: the first owner
/// goes on, and what it asks for is done.
pub(crate) type Step = [u32; 4];

/// How many kinds of steps there are besides the calm one. The last few are calm too, but for how a call goes.
const KINDS: u32 = 14;
/// Most calls of one calm step: as many as a batch takes.
const CALLS: u32 = 8;
/// Most owners at once, dead ones not counted.
const OWNERS: usize = 4;
/// Longer than a lane ever pauses or lingers.
const MOMENT: Duration = Duration::from_secs(3);
/// Most rounds in which a calm world must come to rest: each moves every owner by one call.
const ROUNDS: usize = 2_000;

thread_local! {
    static CLOCK: std::cell::Cell<i64> = const { std::cell::Cell::new(0) };
}

/// What the owners take for the time of day.
pub(crate) fn clock() -> Timestamp {
    Timestamp::from_millis(CLOCK.get())
}

/// The log and its one group.
struct Broker {
    epoch: i64,
    log: Vec<Vec<LogRecord>>,
    committed: Vec<usize>,
    /// Whose commits are taken, by partition.
    holder: Vec<Option<usize>>,
}

/// Everything.
pub(crate) struct World<'a> {
    workload: &'a Workload,
    platform: Arc<Mutex<Platform>>,
    broker: Broker,
    owners: Vec<Owner>,
    born: usize,
    checker: Checker<'a>,
    /// What happened, one line for each step, when somebody wants to read it.
    pub(crate) story: Option<Vec<String>>,
}

/// The steps of a schedule.
pub(crate) fn steps(dice: &mut Dice) -> Vec<Step> {
    let (count, calm) = (10 + dice.below(60), dice.one_of(&[55, 75, 90]));
    let mut who = 0;
    let mut step = || {
        let (kind, how) = (1 + dice.number() % KINDS, dice.number());
        let [kind, how] = [kind, how].map(|fault| if dice.percent(calm) { 0 } else { fault });
        // One owner works for a while, and the others are frozen: that is what makes a zombie.
        who = if dice.percent(30) { dice.number() } else { who };
        [kind, who, how, dice.number()]
    };
    (0..count).map(|_| step()).collect()
}

impl<'a> World<'a> {
    pub(crate) fn new(workload: &'a Workload, checker: Checker<'a>, tell: bool) -> Self {
        CLOCK.set(1_000_000);
        let broker = Broker::new(workload, 1);
        let story = tell.then(Vec::new);
        let refused = (0..workload.records.len()).filter(|&index| workload.records[index].refused);
        let refused = refused.map(|index| workload.at(index)).collect();
        let platform = Arc::new(Mutex::new(Platform::new(refused)));
        Self { workload, platform, broker, owners: Vec::new(), born: 0, checker, story }
    }

    fn note(&mut self, line: fmt::Arguments<'_>) {
        if let Some(story) = &mut self.story {
            story.push(line.to_string());
        }
    }

    /// Runs the steps, then lets the world come to rest, and looks at what is there.
    pub(crate) async fn run(&mut self, steps: &[Step]) -> Result<(), String> {
        for &step in steps {
            self.step(step).await?;
        }
        self.note(format_args!("from here on nothing fails"));
        for _ in 0..ROUNDS {
            if !self.everybody_goes_on().await? {
                return self.checker.at_the_end(&self.platform());
            }
        }
        Err("the owners do not come to the end of the log".to_owned())
    }

    /// One round of a calm world; false when nothing is left to be done.
    async fn everybody_goes_on(&mut self) -> Result<bool, String> {
        self.land(0)?;
        self.somebody_lives();
        let mut working = false;
        for owner in 0..self.owners.len() {
            for worker in 0..LANES {
                working |= self.go_on(owner, worker, Verdict::Done, 0, 4).await?;
            }
        }
        let is_under_way = working || !self.platform().late.is_empty() || !self.broker.is_at_the_end();
        Ok(is_under_way || self.begin_second_life())
    }

    async fn step(&mut self, [kind, who, how, much]: Step) -> Result<(), String> {
        self.somebody_lives();
        let (who, worker) = (who as usize % self.owners.len(), who as usize / self.owners.len());
        let (name, partition) = (self.owners[who].name, how as usize % self.workload.partitions);
        match kind {
            1 => {
                self.note(format_args!("owner {name}: dies"));
                self.kill(who);
            }
            2..=4 => self.take_over(who, partition, much),
            5 | 6 => self.give_up(who, partition, kind == 5)?,
            7 => self.commit(who, much.is_multiple_of(2))?,
            8 => {
                self.note(format_args!("the primary dies"));
                self.platform().fail_over();
            }
            9 => {
                self.note(format_args!("the other members of the store catch up"));
                self.platform().replicate();
            }
            10 => self.land(how as usize)?,
            11 => {
                CLOCK.set(i64::from(how) - i64::from(much));
                self.note(format_args!("the clock says {}", clock()));
            }
            _ => {
                for _ in 0..=if how == 0 { much % CALLS } else { 0 } {
                    self.go_on(who, worker, verdict(how), much, 1 + much as usize % 4).await?;
                }
            }
        }
        self.begin_second_life();
        Ok(())
    }

    /// Lets a lane of an owner run until it asks a server the next time, or waits. False when it had nothing to do.
    async fn go_on(
        &mut self,
        who: usize,
        worker: usize,
        verdict: Verdict,
        much: u32,
        records: usize,
    ) -> Result<bool, String> {
        let (owner, lane) = (&mut self.owners[who], worker % LANES);
        let worker = &mut owner.workers[lane];
        if let Some(call) = worker.gate.asks() {
            let name = owner.name;
            worker.gate.tell(verdict);
            worker.poll();
            self.note(format_args!("owner {name}, lane {lane}: {call}: {verdict:?}"));
            self.checker.after_a_call(&mut self.platform())?;
            return Ok(true);
        }
        if much % 4 != 3 {
            self.commit(who, true)?;
        }
        self.rebalance(who);
        let offered = self.offer(who, records);
        let worker = &mut self.owners[who].workers[lane];
        worker.poll();
        tokio::time::advance(MOMENT).await;
        worker.poll();
        Ok(offered > 0 || worker.gate.asks().is_some())
    }

    fn offer(&mut self, who: usize, most: usize) -> usize {
        let platform = self.platform.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = &mut self.owners[who];
        let mut offered = Vec::new();
        for (&partition, next) in owner.reads.iter_mut().filter(|_| owner.epoch == self.broker.epoch) {
            let there = self.broker.log[partition].iter().skip(*next).take(most);
            for record in there.take_while(|record| self.checker.is_there(record, &platform)) {
                drop(owner.lanes.offer(record.clone()));
                offered.push((partition, *next));
                *next += 1;
            }
        }
        drop(platform);
        let (name, count) = (owner.name, offered.len());
        if count > 0 {
            self.note(format_args!("owner {name}: is given {offered:?}"));
        }
        count
    }

    /// Gives an owner what nobody holds.
    fn rebalance(&mut self, who: usize) {
        for partition in 0..self.workload.partitions {
            if self.broker.holder[partition].is_none() {
                self.assign(who, partition);
            }
        }
    }

    fn assign(&mut self, who: usize, partition: usize) {
        let owner = &mut self.owners[who];
        if owner.epoch == self.broker.epoch {
            self.broker.holder[partition] = Some(owner.name);
            owner.reads.insert(partition, self.broker.committed[partition]);
            owner.durable.remove(&partition);
            owner.lanes.assigned(&[partition as i32]);
            let (name, from) = (owner.name, self.broker.committed[partition]);
            self.note(format_args!("owner {name}: is assigned partition {partition} from {from}"));
        }
    }

    /// The broker gives a partition to another owner, without a word to the one that has it: a zombie from now on.
    fn take_over(&mut self, who: usize, partition: usize, much: u32) {
        let who = if much.is_multiple_of(2) && self.owners.len() < OWNERS { self.start() } else { who };
        let holder = self.broker.holder[partition];
        if holder != Some(self.owners[who].name) && !self.owners[who].reads.contains_key(&partition) {
            self.assign(who, partition);
        }
    }

    /// An owner gives up a partition: because it was asked to, and then it commits what is durable first; or because it learns that it has
    /// lost it.
    fn give_up(&mut self, who: usize, partition: usize, commits: bool) -> Result<(), String> {
        let owner = &mut self.owners[who];
        let name = owner.name;
        if owner.reads.remove(&partition).is_none() {
            return Ok(());
        }
        owner.lanes.revoked_within(&[partition as i32], Duration::ZERO);
        self.note(format_args!("owner {name}: gives up partition {partition}"));
        if commits {
            self.commit(who, true)?;
        }
        self.broker.holder[partition].take_if(|holder| *holder == name);
        Ok(())
    }

    /// Commits what is durable, where the broker takes it from this owner. What does not arrive is committed with the next.
    fn commit(&mut self, who: usize, arrives: bool) -> Result<(), String> {
        let owner = &mut self.owners[who];
        let news = owner.lanes.durable().into_iter();
        owner.durable.extend(news.map(|Position { partition, offset }| (partition as usize, offset as usize)));
        if owner.durable.is_empty() {
            return Ok(());
        }
        let (name, durable) = (owner.name, owner.durable.clone());
        let fate = if arrives { "" } else { ", which does not arrive" };
        self.note(format_args!("owner {name}: commits {durable:?}{fate}"));
        if !arrives {
            return Ok(());
        }
        self.owners[who].durable.clear();
        for (partition, offset) in durable {
            if self.broker.holder[partition] != Some(name) {
                continue;
            }
            if offset < self.broker.committed[partition] {
                return Err(format!("the offset of partition {partition} goes back to {offset}"));
            }
            self.broker.committed[partition] = offset;
            self.checker.durable(&self.broker.log[partition][..offset], &self.platform())?;
        }
        Ok(())
    }

    /// Something happens that somebody gave up waiting for.
    fn land(&mut self, which: usize) -> Result<(), String> {
        let mut platform = self.platform();
        if platform.late.is_empty() {
            return Ok(());
        }
        let which = which % platform.late.len();
        let effect = platform.late.remove(which);
        let line = effect.describe();
        drop(platform.perform(effect, true)); // nobody waits for the answer
        self.checker.after_a_call(&mut platform)?;
        drop(platform);
        self.note(format_args!("now it happens: {line}"));
        Ok(())
    }

    /// When all is committed an operator makes the topic anew: offsets begin at 0, in epoch 2, and new processes read it.
    fn begin_second_life(&mut self) -> bool {
        let begins = self.broker.epoch == 1 && self.workload.second_life < self.workload.records.len();
        if !begins || !self.broker.is_at_the_end() {
            return false;
        }
        self.note(format_args!("the topic is made anew"));
        self.broker = Broker::new(self.workload, 2);
        // Those that nobody stopped are zombies; the topic that they read is gone.
        self.owners.retain(|owner| owner.workers.iter().any(|worker| worker.gate.asks().is_some()));
        true
    }

    fn somebody_lives(&mut self) {
        if !self.owners.iter().any(|owner| owner.epoch == self.broker.epoch) {
            self.start();
        }
    }

    fn start(&mut self) -> usize {
        let (name, epoch) = (self.born, self.broker.epoch);
        self.born += 1;
        self.owners.push(Owner::new(name, epoch, self.workload.partitions, &self.platform));
        self.note(format_args!("owner {name}: starts"));
        self.owners.len() - 1
    }

    fn kill(&mut self, who: usize) {
        let owner = self.owners.remove(who);
        for holder in &mut self.broker.holder {
            holder.take_if(|holder| *holder == owner.name);
        }
    }

    fn platform(&self) -> std::sync::MutexGuard<'_, Platform> {
        self.platform.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What becomes of a call; zero is that it is done.
fn verdict(how: u32) -> Verdict {
    match how % 8 {
        0 | 1 => Verdict::Done,
        2 | 3 => Verdict::Unread,
        4 => Verdict::Fails,
        5 => Verdict::AnswerLost,
        6 => Verdict::Half(how >> 3),
        _ => Verdict::Late(how >> 3),
    }
}

impl Broker {
    fn new(workload: &Workload, epoch: i64) -> Self {
        let count = workload.partitions;
        let mut log = vec![Vec::new(); count];
        for index in 0..workload.records.len() {
            let (partition, of, _) = workload.position(index);
            if of == epoch {
                log[partition].push(workload.log_record(index));
            }
        }
        Self { epoch, log, committed: vec![0; count], holder: vec![None; count] }
    }

    fn is_at_the_end(&self) -> bool {
        self.log.iter().zip(&self.committed).all(|(records, &committed)| records.len() == committed)
    }
}
