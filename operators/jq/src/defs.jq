# Functions that jaq has otherwise than jq 1.8, or not at all.

# Conversion
def tostring: if isstring then . else tojson end;
def tonumber: if isnumber then . elif isstring then _tonumber else error("\(type) (\(tojson)) cannot be parsed as a number") end;
def toboolean:
    if isboolean then . elif . == "true" then true elif . == "false" then false
    else error("\(type) (\(tojson)) cannot be parsed as a boolean") end;

# Arrays
def join($x):
  reduce .[] as $i (null;
    (if . == null then "" else . + $x end) + ($i | if isboolean or isnumber then tojson else . // "" end)
  ) // "";
def flatten($d):
  def deep($n): reduce .[] as $i ([]; if ($i | isarray) and $n != 0 then . + ($i | deep($n - 1)) else . + [$i] end);
  if $d < 0 then error("flatten depth must not be negative") else deep($d) end;
def flatten: flatten(1e9);
def combinations: if length == 0 then [] else .[0][] as $x | (.[1:] | combinations) as $y | [$x] + $y end;
def combinations(n): . as $dot | [range(n) | $dot] | combinations;
def transpose: [range(0; map(length) | max // 0) as $i | [.[][$i]]];

# Streams of results
def _last(f): [f] | .[-1];
def _limit($n; f): limit($n; f);
def _skip($n; f): skip($n; f);
def limit($n; f): if $n < 0 then error("limit doesn't support negative count") else _limit($n; f) end;
def skip($n; f): if $n < 0 then error("skip doesn't support negative count") else _skip($n; f) end;
def nth($n): .[$n];
def nth($n; f): if $n < 0 then error("nth doesn't support negative indices") else first(skip($n; f)) end;

# Objects
def from_entries:
  reduce .[] as $x ({};
    . + ($x
      | {(.key // .Key // .name // .Name | if isstring then . else error("object keys must be strings") end):
          (if has("value") then .value else .Value end)}));
def with_entries(f): to_entries | map(f) | from_entries;

# Text
def _implode: implode;
def implode: map(if isnumber then floor | if . < 0 or . > 1114111 or (. >= 55296 and . <= 57343) then 65533 end
  else error("\(type) (\(tojson)) can't be imploded, unicode codepoint needs to be numeric") end) | _implode;
def ltrimstr($x): if isstring and ($x | isstring) then if startswith($x) then .[($x | length):] end else error("startswith() requires string inputs") end;
def rtrimstr($x): if isstring and ($x | isstring) then if endswith($x) then .[:length - ($x | length)] end else error("endswith() requires string inputs") end;
def trimstr($x): ltrimstr($x) | rtrimstr($x);
def _cells(text): if isarray then map(
    if isnumber then tojson elif isboolean then tojson elif . == null then "" elif isstring then text
    else error("\(type) (\(tojson)) is not valid in a csv row") end)
  else error("\(type) (\(tojson)) cannot be formatted, only an array can be") end;
def @csv: _cells("\"" + (split("\"") | join("\"\"")) + "\"") | join(",");
def @tsv: _cells(split("\\") | join("\\\\") | split("\t") | join("\\t") | split("\n") | join("\\n") | split("\r") | join("\\r")) | join("\t");

# Arrays and paths
def _reverse: reverse;
def reverse: if . == null then [] else _reverse end;
def _has($key): has($key);
def has($key):
    if isarray and ($key | isnumber) then $key >= 0 and $key < length
    elif isobject and ($key | isstring) then _has($key)
    else error("cannot check whether \(type) has a \($key | type) key") end;
def setpath($path; $x): _setpath($path; $x);
def delpaths($paths): _delpaths($paths);
def del(f): delpaths([path(f)]);
def _contains($x): contains($x);
def contains($x):
    if type == ($x | type) and (isboolean | not) or . == $x then _contains($x)
    else error("\(type) (\(tojson)) and \($x | type) (\($x | tojson)) cannot have their containment checked") end;
def inside(xs): . as $x | xs | contains($x);
def in(xs): . as $x | xs | has($x);
def pick(f): . as $in | reduce path(f) as $p (null; setpath($p; $in | getpath($p)));
def IN(s): any(s == .; .);
def IN(src; s): any(src == s; .);
def INDEX(stream; f): reduce stream as $row ({}; . + {($row | f | tostring): $row});
def INDEX(f): INDEX(.[]; f);
def tostream:
  def at($path):
    if (isarray or isobject) and length > 0 then
      (keys_unsorted[] as $k | .[$k] | at($path + [$k])), [$path + [keys_unsorted[-1]]]
    else [$path, .] end;
  if (isarray or isobject) and length > 0 then at([]) else [[], .] end;
def fromstream(f): {x: null, e: false} as $init
  | foreach f as $i ($init;
      if .e then $init else . end
      | if ($i | length) == 2 then {e: ($i[0] | length == 0), x: (.x | setpath($i[0]; $i[1]))}
        else {e: ($i[0] | length == 1), x} end;
      if .e then .x else empty end);
def truncate_stream(stream): . as $n | null | stream | . as $input
  | if (.[0] | length) > $n then [.[0][$n:]] + .[1:] else empty end;
def have_literal_numbers: true;
def have_decnum: true;

# Regular expressions
def _groups: reduce (.[1:][] | select(.name)) as $group ({}; . + {($group.name): $group.string});
def match(re; flags): _matches(re; flags)[] | .[0] + {captures: .[1:]};
def test(re; flags): _matches(re; flags) | length > 0;
def capture(re; flags): _matches(re; flags)[] | _groups;
def scan(re; flags): _matches(re; "g" + flags)[] | if length > 1 then [.[1:][].string] else .[0].string end;
def _pair: if isstring then [., null] elif isarray and length > 0 then . else error("\(type) not a string or array") end;
def match($re): ($re | _pair) as [$re, $flags] | match($re; $flags);
def test($re): ($re | _pair) as [$re, $flags] | test($re; $flags);
def capture($re): ($re | _pair) as [$re, $flags] | capture($re; $flags);
def scan(re): scan(re; null);
def split(re; flags): [_pieces(re; "g" + flags)[] | strings];
def splits(re; flags): split(re; flags)[];
def splits(re): splits(re; null);
def sub(re; f; flags): reduce _pieces(re; flags)[] as $piece (""; . + ($piece | if isarray then _groups | f end));
def sub(re; f): sub(re; f; null);
def gsub(re; f; flags): sub(re; f; "g" + flags);
def gsub(re; f): sub(re; f; "g");

# Numbers
def gamma: lgamma;

# Times
def _mktime: mktime;
def mktime: if isarray and length < 6 and length > 0 then . + [0, 1, 0, 0, 0][length - 1:] else . end | _mktime;
def _strftime($format): strftime($format);
def strftime($format): if isarray and length < 8 then mktime else . end | _strftime($format);
def todateiso8601: if isarray then mktime else . end | floor | _strftime("%Y-%m-%dT%H:%M:%SZ");
def fromdateiso8601: strptime("%Y-%m-%dT%H:%M:%SZ") | _mktime;
def todate: todateiso8601;
def fromdate: fromdateiso8601;
