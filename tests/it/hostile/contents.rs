//! Files with more of something than any honest one, signed by whoever holds the keys.

use serde_json::{Value, json};

use super::{Attack, run};
use crate::builder::Repo;
use crate::builder::key::role_key;
use crate::site::{ROLES, successor};

/// What is done to one file of a repository.
type Change = Box<dyn Fn(&mut Repo)>;

fn attack(name: String, fault: &str, change: impl Fn(&mut Repo)) -> Attack {
    let mut repo = successor(2);
    // So that this root is looked at where it is the one that is wrong.
    if name.starts_with("root: ") {
        repo.at("root").version(3);
    }
    change(&mut repo);
    Attack::of_files(name, fault, "trust-data-invalid", repo.publish())
}

/// Puts this many bad signatures in front of the good ones.
fn noise(text: &str, count: usize) -> String {
    let mut file: Value = serde_json::from_str(text).unwrap();
    let mut bad = file["signatures"][0].clone();
    bad["sig"] = json!("");
    file["signatures"].as_array_mut().unwrap().splice(..0, vec![bad; count]);
    file.to_string()
}

/// Values nested this deep.
fn nested(depth: usize) -> String {
    format!("{}1{}", "[".repeat(depth), "]".repeat(depth))
}

#[tokio::test]
async fn no_file_has_more_than_an_honest_one_could() {
    let mut attacks = Vec::new();
    for role in ROLES {
        let mut add = |what: &str, fault: &str, change: Change| {
            attacks.push(attack(format!("{role}: {what}"), fault, change));
        };
        add(
            "signatures",
            &format!("{role} has more than 32 signatures"),
            Box::new(move |repo| repo.at(role).tamper(|text| noise(&text, 40))),
        );
        add(
            "many signatures",
            &format!("{role} has more than 32 signatures"),
            Box::new(move |repo| repo.at(role).tamper(|text| noise(&text, 5000))),
        );
        add(
            "depth",
            &format!("{role} is malformed: "),
            Box::new(move |repo| repo.at(role).tamper(|_| nested(17))),
        );
        add(
            "bottomless depth",
            &format!("{role} is malformed: "),
            Box::new(move |repo| repo.at(role).tamper(|_| nested(100_000))),
        );
        add(
            "open depth",
            &format!("{role} is malformed: "),
            Box::new(move |repo| repo.at(role).tamper(|_| r#"{"a":"#.repeat(100_000))),
        );
        add(
            "depth in what is signed",
            &format!("{role} is malformed: "),
            Box::new(move |repo| {
                repo.at(role).amend(|signed| {
                    signed["more"] = serde_json::from_str(&nested(40)).unwrap();
                });
            }),
        );
        add(
            "version",
            &format!("{role} is malformed: "),
            Box::new(move |repo| repo.at(role).version(1 << 60)),
        );
        add(
            "another kind of file",
            &format!("{role} is malformed: "),
            Box::new(move |repo| {
                repo.at(role).tamper(|_| "<!doctype html><p>Please log in.".to_owned());
            }),
        );
    }
    run(attacks).await;
}

#[tokio::test]
async fn delegations_and_keys_are_counted() {
    let crowd = |parent: &'static str, count: usize| {
        move |repo: &mut Repo| {
            let declared = (0..count).map(|number| {
                let name = format!("{parent}/{number}");
                json!({"keyids": [], "name": name, "paths": [""], "threshold": 1})
            });
            let roles = &mut repo.at(parent).signed["delegations"]["roles"];
            roles.as_array_mut().unwrap().extend(declared);
        }
    };
    let heap = |keys: &mut Value| {
        for number in 0..600 {
            keys[format!("{number:064x}")] = role_key("unused").listed();
        }
    };
    let delegations = "targets has more than 128 delegations";
    run([
        attack("delegations".to_owned(), delegations, crowd("targets", 126)),
        attack("many delegations".to_owned(), delegations, crowd("targets", 10_000)),
        attack("delegations of a person".to_owned(), delegations, crowd("targets/jenkins", 126)),
        attack("root: keys".to_owned(), "root has more than 512 keys", move |repo: &mut Repo| {
            heap(&mut repo.at("root").signed["keys"]);
        }),
        attack("keys".to_owned(), "targets has more than 512 keys", move |repo: &mut Repo| {
            heap(&mut repo.at("targets").signed["delegations"]["keys"]);
        }),
    ])
    .await;
}
