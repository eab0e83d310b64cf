// Renders each element of a list within a JSON datum as a line of text, by a template.

import { count } from 'mosaik:operator/host@1.1.0';

const CONFIG_SCHEMA = {
  type: 'object',
  required: ['line'],
  additionalProperties: false,
  properties: {
    each: { type: 'string', description: 'The list whose elements become lines. Default: the datum is the one element.' },
    line: { type: 'string', minLength: 1, description: '`{field}` is a value, `{field:2}` a number to two decimals.' },
  },
};

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

let each; // the path to the list, or nothing
let parts; // of the template: text, or {path, digits}
let asJson; // whether the output is JSON

export function describe() {
  return { inputs: ['in'], outputs: ['out'], configSchema: JSON.stringify(CONFIG_SCHEMA), stateVersion: 1 };
}

// What is thrown as text is the operator's own refusal; anything else that is thrown ends the instance.
export function open(config, inputs, outputs) {
  const settings = JSON.parse(config);
  const unknown = Object.keys(settings).find((key) => !(key in CONFIG_SCHEMA.properties));
  if (unknown !== undefined) throw `\`${unknown}\` is no setting; there are \`each\` and \`line\``;
  if (typeof settings.line !== 'string' || settings.line === '') throw '`line` must be a template';
  if (settings.each !== undefined && typeof settings.each !== 'string') throw '`each` must name a list';
  const wrong = inputs.find((input) => input.encoding !== 'json');
  if (wrong) throw `reads JSON, but the stream \`${wrong.streamName}\` is \`${wrong.encoding}\``;
  each = settings.each?.split('.');
  parts = parse(settings.line);
  asJson = outputs.some((output) => output.encoding === 'json');
}

export function process(port, batch) {
  const lines = [];
  const rejected = [];
  let index = 0;
  for (const datum of datums(batch)) {
    try {
      render(JSON.parse(decoder.decode(datum)), lines);
    } catch (error) {
      rejected.push({ index, reason: error instanceof Error ? `not JSON: ${error.message}` : error });
    }
    index += 1;
  }
  if (lines.length > 0) count('lines', BigInt(lines.length));
  const outputs = lines.length > 0 ? [{ port: 0, frames: frames(lines) }] : [];
  return { outputs, rejected, more: false };
}

// Nothing is held back and nothing kept, so the rest has nothing to say.
const NOTHING = { outputs: [], rejected: [], more: false };
export const resume = () => NOTHING;
export const tick = () => NOTHING;
export const finish = () => NOTHING;
export const snapshot = () => ({ version: 1, entries: [] });
export const restore = () => {};

// A template's parts; each place in braces is a path, and how many decimals if that is said.
function parse(template) {
  const found = template.split(/\{([^{}]*)\}/);
  return found.map((part, at) => {
    if (at % 2 === 0) {
      if (/[{}]/.test(part)) throw `\`line\` has a brace without its other half, near \`${part}\``;
      return part;
    }
    const [, path, digits] = /^\s*([^:\s]+)\s*(?::\s*(\d{1,2})\s*)?$/.exec(part) ?? [];
    if (path === undefined) throw `\`{${part}}\` is neither \`{field}\` nor \`{field:decimals}\``;
    return { path: path.split('.'), digits: digits && Number(digits) };
  });
}

// Adds a datum's lines, all or none.
function render(datum, lines) {
  const elements = each ? at(datum, each) : [datum];
  if (!Array.isArray(elements)) throw `\`${each.join('.')}\` is no list`;
  const before = lines.length;
  try {
    for (const element of elements) {
      let line = '';
      for (const part of parts) line += typeof part === 'string' ? part : show(part, element, datum);
      lines.push(line);
    }
  } catch (error) {
    lines.length = before;
    throw error;
  }
}

// What a path leads to in the element, else in the datum that it is in.
function show(part, element, datum) {
  const value = at(element, part.path) ?? at(datum, part.path);
  if (value === undefined || value === null) throw `there is no \`${part.path.join('.')}\``;
  if (part.digits !== undefined) {
    if (typeof value !== 'number') throw `\`${part.path.join('.')}\` is no number`;
    return value.toFixed(part.digits);
  }
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

function at(value, path) {
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = value[key];
  }
  return value;
}

// A batch is a sequence of records, each after its length as four bytes, big-endian.
function datums(batch) {
  const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
  const found = [];
  for (let from = 0; from < batch.length; ) {
    const to = from + 4 + view.getUint32(from);
    found.push(batch.subarray(from + 4, to));
    from = to;
  }
  return found;
}

function frames(lines) {
  const datums = lines.map((line) => encoder.encode(asJson ? JSON.stringify(line) : line));
  const batch = new Uint8Array(datums.reduce((bytes, datum) => bytes + 4 + datum.length, 0));
  const view = new DataView(batch.buffer);
  let to = 0;
  for (const datum of datums) {
    view.setUint32(to, datum.length);
    batch.set(datum, to + 4);
    to += 4 + datum.length;
  }
  return batch;
}
