use mosaik_streams::stream;

stream!(Unknown = u64, max_consumer: 5, colour: "red");
stream!(producer OnlyProduced = u64, criteria: Criteria::default(), consumer online_when: |c| c);
stream!(producer Unchecked = u64, producer require: |_| true);
stream!(consumer OnlyConsumed = u64, buffer_size: 5, max_consumers: 1);
stream!(WrongSide = u64, consumer max_consumers: 5, producer backoff: todo!());
stream!(Twice = u64, online_when: |c| c, producer online_when: |c| c, local: true, local: true);
stream!(NoId = u64, "");

// Mistakes in the keys do not hide the definition: no further error is reported here.
fn uses() {
    use mosaik_streams::{StreamConsumer, StreamProducer};
    let _ = (Unknown::producer, OnlyProduced::producer, OnlyConsumed::consumer);
}

fn main() {}
