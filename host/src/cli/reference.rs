//! Every command as a page of Markdown, from the same definitions as `--help`.
//!
//! Deliberately not here: writing `docs/reference/cli.md`; a test compares it with this.

use clap::builder::StyledStr;
use clap::{Arg, Command};

/// The page.
pub fn reference() -> String {
    let mut root = super::definitions();
    root.build();
    let mut text = String::from(
        "# Command line\n\n<!-- Generated from host/src/cli/args.rs; a test compares. -->\n\n\
         One binary, `sandbook`. Human output on a terminal, `--json` everywhere.\n",
    );
    if let Some(after) = root.get_after_help() {
        text.push_str(&format!("\n```text\n{}\n```\n", after.to_string().trim_end()));
    }
    text.push_str("\n## Options of every command\n\n");
    for argument in root.get_arguments().filter(|argument| argument.is_global_set()) {
        text.push_str(&option(argument));
    }
    for command in root.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help") {
        section(&mut text, command, "sandbook", 2);
    }
    text
}

fn section(text: &mut String, command: &Command, above: &str, level: usize) {
    let name = format!("{above} {}", command.get_name());
    text.push_str(&format!("\n{} `{name}`\n\n", "#".repeat(level)));
    let about = command.get_long_about().or(command.get_about()).map(StyledStr::to_string).unwrap_or_default();
    text.push_str(&format!("{}\n", about.trim_end().trim_end_matches('.').to_owned() + "."));
    let inner: Vec<&Command> = command.get_subcommands().filter(|inner| inner.get_name() != "help").collect();
    if inner.is_empty() {
        text.push_str(&format!("\n```text\n{}\n```\n", usage(command, &name)));
    }
    let own: Vec<&Arg> =
        command.get_arguments().filter(|argument| !argument.is_global_set() && !is_help(argument)).collect();
    if !own.is_empty() {
        text.push('\n');
        own.into_iter().for_each(|argument| text.push_str(&option(argument)));
    }
    if let Some(after) = command.get_after_help() {
        text.push_str(&format!("\n```text\n{}\n```\n", after.to_string().trim_end()));
    }
    for command in inner {
        section(text, command, &name, level + 1);
    }
}

fn is_help(argument: &Arg) -> bool {
    matches!(argument.get_id().as_str(), "help" | "version")
}

/// The line of words that can be typed.
fn usage(command: &Command, name: &str) -> String {
    let mut words = vec![name.to_owned()];
    for argument in command.get_arguments().filter(|argument| !argument.is_global_set() && !is_help(argument)) {
        let word = spelled(argument);
        words.push(if argument.is_required_set() { word } else { format!("[{word}]") });
    }
    words.join(" ")
}

/// An argument as it is typed.
fn spelled(argument: &Arg) -> String {
    let takes = argument.get_action().takes_values();
    let value = || {
        let names =
            argument.get_value_names().map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        names.unwrap_or_else(|| argument.get_id().as_str().to_uppercase())
    };
    match argument.get_long() {
        Some(long) if takes => format!("--{long} {}", value()),
        Some(long) => format!("--{long}"),
        None if matches!(argument.get_action(), clap::ArgAction::Append) => format!("{}…", value()),
        None => value(),
    }
}

fn option(argument: &Arg) -> String {
    let mut line = format!("- `{}`", spelled(argument));
    let help = argument.get_long_help().or(argument.get_help()).map(StyledStr::to_string).unwrap_or_default();
    if !help.is_empty() {
        line.push_str(&format!(": {help}"));
    }
    let values: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set() && argument.get_action().takes_values())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    let defaults: Vec<String> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    let default = defaults.join(" ");
    if !values.is_empty() {
        line.push_str(&format!("; one of {}", values.join(", ")));
    }
    if !default.is_empty() && argument.get_action().takes_values() {
        line.push_str(&format!("; default `{default}`"));
    }
    if let Some(variable) = argument.get_env() {
        line.push_str(&format!("; or `{}`", variable.to_string_lossy()));
    }
    line.push('\n');
    line
}
