use mosaik_streams::stream;

stream!();
stream!(pub NoType);
stream!(pub EmptyType = , "id");
stream!(pub produce Mode = u64);
stream!(NoComma = u64 "id");
stream!(IdLate = u64, local: true, "id");
stream!(NoColon = u64, require |peer| true);
stream!(NoColonAfterSide = u64, "id", consumer require |peer| true);
stream!(NoValue = u64, max_consumers: , local: true);
stream!(Assigned = u64, max_consumers = 5);
stream!(Prefix = u64, consume require: |_| true);
stream!(Prefixed = u64, max_consumers local: true);
stream!(NoKey = u64, "id", |_| true);

const NAME: mosaik_streams::StreamId = mosaik_streams::unique_id!("");
const NOT_TEXT: mosaik_streams::StreamId = mosaik_streams::id!(7);

fn main() {}
