#!/bin/sh
# Builds the book to target/book/html, and fails if a link in it leads nowhere.
#
#   docs/build.sh              with mdbook from PATH or from the cache of tools
#   docs/build.sh --install    installs mdbook into the cache of tools first, unless it is there
#
# Exit codes: 0 done, 1 failed, 3 no mdbook.
#
# docs/SUMMARY.md is the navigation. The pages are copied to target/book/pages in the layout of the
# repository, so a link works on GitHub and in the book. README.md becomes index.md there, since
# mdBook writes index.html for it and does not change the links to it. The navigation is beside every page,
# so a link to it leads to the first one.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
version=0.5.4
tools=${XDG_CACHE_HOME:-$HOME/.cache}/mosaik-runner/tools
book=${CARGO_TARGET_DIR:-$root/target}/book

PATH=$PATH:$tools/bin
if [ "${1:-}" = --install ] && [ "$(mdbook --version 2>&1 || :)" != "mdbook v$version" ]; then
    # In a target folder of its own: its dependencies are not ours.
    CARGO_TARGET_DIR=$tools-target cargo install mdbook --version "$version" --locked \
        --no-default-features --features search --root "$tools"
    rm -rf "$tools-target"
    PATH=$tools/bin:$PATH
fi
command -v mdbook >/dev/null || {
    echo "docs/build.sh: there is no mdbook; docs/build.sh --install installs it into $tools" >&2
    exit 3
}

rm -rf "$book"
mkdir -p "$book/pages"
cp "$here/book.toml" "$book/"

# Links from docs/ become links from the root.
sed -e 's#](\([^)]*\))#](docs/\1)#; s#](docs/\.\./#](#; s#README\.md#index.md#' \
    "$here/SUMMARY.md" >"$book/pages/SUMMARY.md"

cd "$root"
find README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE-* docs operators manifests wasm-sdk/README.md \
    wasm-sdk/wit streams/README.md bench/README.md bench/budgets.json tests/interop/README.md \
    -path operators/built -prune -o -path docs/SUMMARY.md -prune -o \
    -type f \( -name '*.md' -o -name '*.svg' -o -name '*.yaml' -o -name '*.wit' -o -name '*.tsv' \
    -o -name 'LICENSE*' -o -name budgets.json \) -print |
    while read -r file; do
        copy=$book/pages/$(echo "$file" | sed 's#README\.md$#index.md#')
        mkdir -p "$(dirname "$copy")"
        case $file in
            *.md) sed -e 's#\](\([^)]*\)README\.md#](\1index.md#g' -e 's#](docs/SUMMARY\.md)#](index.md)#' "$file" >"$copy" ;;
            *) cp "$file" "$copy" ;;
        esac
    done

mdbook build "$book" >"$book/log" 2>&1 || {
    cat "$book/log" >&2
    exit 1
}
# mdBook warns of a page that it cannot read and goes on.
if grep -E 'WARN|ERROR' "$book/log" >&2; then
    exit 1
fi

cd "$book/html"
# Every link with a relative address: its file exists, and in a page the place that it names, too.
find . -type f | sed 's#^\./##' >"$book/files"
find . -name '*.html' ! -name 404.html ! -name toc.html | sed 's#^\./##' | sort >"$book/html-pages"
xargs grep -oE '(id|href|src)="[^"]*"' <"$book/html-pages" | awk -v files="$book/files" '
    BEGIN { while ((getline name < files) > 0) is_file[name] = 1 }
    {
        colon = index($0, ":"); page = substr($0, 1, colon - 1); rest = substr($0, colon + 1)
        equals = index(rest, "="); kind = substr(rest, 1, equals - 1)
        value = substr(rest, equals + 2, length(rest) - equals - 2)
        if (kind == "id") { is_place[page "#" value] = 1; next }
        if (value ~ /^[a-z]+:/ || value == "") next
        links[page "\t" value] = 1
    }
    # The path of TO as it stands in the page FROM, without `.` and `..`.
    function resolve(from, to,    parts, path, count, depth, i) {
        sub(/[^\/]*$/, "", from)
        count = split(from to, parts, "/"); depth = 0
        for (i = 1; i <= count; i++) {
            if (parts[i] == "..") depth--
            else if (parts[i] != "." && parts[i] != "") path[++depth] = parts[i]
            if (depth < 0) return "outside of the book"
        }
        to = ""
        for (i = 1; i <= depth; i++) to = to (i > 1 ? "/" : "") path[i]
        return to == "" ? "index.html" : to
    }
    END {
        for (link in links) {
            split(link, both, "\t"); page = both[1]; to = both[2]; place = ""
            if ((hash = index(to, "#")) > 0) { place = substr(to, hash + 1); to = substr(to, 1, hash - 1) }
            file = to == "" ? page : resolve(page, to)
            if (!(file in is_file)) { print page ": no file " both[2]; bad = 1 }
            else if (place != "" && file ~ /\.html$/ && !((file "#" place) in is_place)) { print page ": no place " both[2]; bad = 1 }
        }
        exit bad
    }' >&2 || {
    echo "docs/build.sh: the links above lead nowhere" >&2
    exit 1
}
echo "$(wc -l <"$book/html-pages") pages: $book/html/index.html"
