//! What the agent answers to hooks and commands.

use std::{io, process};

use tokio::sync::oneshot;

use super::EventLoop;
use crate::{
    agent::{
        holders::{Format, Question, Scope},
        protocol::{Reply, Request},
        server::{Answer, Call},
        status::{AgentStatus, Status},
        verification::Verification,
    },
    track::{Tracker, kernel_side, survey::Surveyor},
    transaction::{Error, Opener},
};

impl<T: Tracker> EventLoop<T> {
    /// Does what is asked for. Questions that take long are answered from a thread of their own.
    pub(in crate::agent) fn answer(&mut self, call: Call) {
        let reply = match call.request {
            Request::Status => return self.status(call.reply),
            Request::Holders { of, format } => return self.holders(of, format, call.reply),
            Request::Verify => {
                let reply = self.verify();
                self.measure();
                reply
            }
            request => {
                let mut reply = self.take_step(&request, &call.stream);
                self.beside.follow(&request, &call.stream, &mut reply);
                self.measure();
                reply
            }
        };
        send(call.reply, reply.into());
    }

    /// Does a step of a transaction with this volume.
    pub(in crate::agent) fn take_step(&mut self, request: &Request, stream: &[u8]) -> Reply {
        if matches!(request, Request::Preserve { .. } | Request::Open(_)) {
            self.await_newcomers();
        }
        let reply = match *request {
            Request::Begin { frontend } => {
                self.step("began", |agent| agent.keeper.begin_by(frontend))
            }
            Request::Preserve { .. } => {
                self.step("preserved", |agent| agent.keeper.preserve(stream))
            }
            Request::Finish { frontend } => self.finish(frontend),
            Request::Close(Opener::Transaction) => self.finish(None),
            Request::Open(opener) => {
                self.step("opened", |agent| agent.keeper.open_and_preserve(opener))
            }
            Request::Close(opener) => self.close("closed", opener),
            Request::Status | Request::Verify | Request::Holders { .. } => {
                return Reply::Error("this is no step of a transaction".to_owned());
            }
        };
        // What is about to be replaced has its names and concerns nobody before the end.
        if !matches!(request, Request::Preserve { .. }) {
            self.list_holds();
        }
        self.measure();
        reply
    }

    /// Answers from a thread of its own, as [`holders`](Self::holders) does.
    fn status(&mut self, reply: oneshot::Sender<Answer>) {
        let (status, surveyor) = self.state();
        let beside = self.beside.states();
        match status {
            Ok(mut status) => {
                let seal = self.keeper.seal().clone();
                let volume = self.keeper.volume().clone();
                tokio::task::spawn_blocking(move || {
                    status.add_elsewhere(seal.writable_elsewhere());
                    status.add(
                        surveyor.and_then(Surveyor::survey),
                        kernel_side::uses(&volume),
                    );
                    for (volume, other, surveyor) in beside {
                        let survey = surveyor.and_then(Surveyor::survey);
                        status.add_beside(other, survey, kernel_side::uses(&volume));
                    }
                    send(reply, Reply::Status(Box::new(status)).into());
                });
            }
            Err(error) => send(reply, Reply::Error(error.to_string()).into()),
        }
    }

    /// The volume's state but for its users, and what tells these.
    pub(in crate::agent) fn state(&mut self) -> (Result<Status, Error>, io::Result<Surveyor>) {
        let agent = AgentStatus::from(&self.tracker.health());
        let counts = |inode| self.tracker.holders(inode);
        let status = Status::collect(&self.keeper, Some(agent), counts);
        (status, self.surveyor())
    }

    /// Compares the counts with the kernel's; what is wrong is put right afterwards.
    fn verify(&mut self) -> Reply {
        let comparisons = match self.tracker.compare() {
            Ok(comparisons) => comparisons,
            Err(error) => return Reply::Error(error.to_string()),
        };
        let (entries, _) = self.keeper.ledger().load();
        let verification = Verification::new(&comparisons, &entries);
        if !verification.differences.is_empty() {
            self.resync("counts are wrong");
        }
        Reply::Verified(verification)
    }

    /// Answers from a thread of its own: with many processes the passes take longer than a reap
    /// should wait.
    fn holders(&mut self, scope: Scope, format: Format, reply: oneshot::Sender<Answer>) {
        let question = self
            .surveyor()
            .map_err(|error| error.to_string())
            .and_then(|surveyor| {
                Question::new(&self.keeper, surveyor, scope).map_err(|error| error.to_string())
            });
        match question {
            Ok(question) => {
                tokio::task::spawn_blocking(move || send(reply, told(question, format)));
            }
            Err(error) => send(reply, Reply::Error(error).into()),
        }
    }

    /// By the iterators, or by /proc where the kernel refuses them; without this process, which uses
    /// the holds to watch them.
    fn surveyor(&mut self) -> io::Result<Surveyor> {
        let visits = self.tracker.visits().unwrap_or_else(|error| {
            tracing::warn!("looking into /proc instead: {error}");
            None
        });
        let volume = self.keeper.volume();
        let surveyor = Surveyor::new(&volume.mount_point, visits)?.of_one_numbering(volume.device);
        Ok(surveyor.without(process::id()))
    }
}

fn told(question: Question, format: Format) -> Answer {
    let told = question.answer().map_err(|error| error.to_string());
    match told.and_then(|holders| holders.into_text(format).map_err(|error| error.to_string())) {
        Ok((told, text)) => Answer {
            reply: Reply::Holders(told),
            text,
        },
        Err(error) => Reply::Error(format!("cannot tell who uses what: {error}")).into(),
    }
}

fn send(caller: oneshot::Sender<Answer>, answer: Answer) {
    if caller.send(answer).is_err() {
        tracing::debug!("the caller did not wait for its answer");
    }
}
