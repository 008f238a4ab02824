//! A queue that is full refuses at once, and the commands that wait in it are still answered.

use authledger::clock::Clock;
use authledger::service::{Error, Failure};

use super::{call, start, ticket};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_the_rest_and_answers_what_it_took() {
    let data = tempfile::tempdir().unwrap();
    let running = start(data.path(), &Clock::system(), 4).await;
    let call = std::sync::Arc::new(call(&running.service));
    let callers: Vec<_> = (0..512)
        .map(|number| {
            let (service, call) = (running.service.clone(), call.clone());
            tokio::spawn(
                async move { service.issue_ticket(&call, ticket(&format!("s{number}"), 900)).await.map(|_| ()) },
            )
        })
        .collect();
    let (mut issued, mut refused) = (0, 0);
    for caller in callers {
        match caller.await.unwrap() {
            Ok(()) => issued += 1,
            Err(Error::Failed(Failure::Overloaded)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(issued + refused, 512);
    assert!(issued >= 4 && refused > 0, "{issued} issued, {refused} refused");
    let head = running.service.projection().base().position.0;
    assert_eq!(head, 1 + issued, "refused commands left no trace, answered ones are there");
    running.stop().unwrap();
}
