//! The twin of main.rhai: a question to a person. Change both.

use sandbook_sdk::{Answer, Input, done, human, log, runbook};

fn run(_input: Input) -> Answer {
    log::attach_evidence("disk", "/var is 97 % full <b>now</b>");
    let settings = human::AskSettings { details: Some("it takes 5 min".into()), ..Default::default() };
    let options = ["move it".to_owned(), "leave it".to_owned()];
    let said = human::ask("The disk is full. Move the volume?", &options, &settings)?;
    done(format!("{}, says {}", said.option, said.by))
}

runbook!(run);
