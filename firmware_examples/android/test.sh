#!/usr/bin/env bash
# Compiles the gallery reader and compares its bytecode with the classes of Android. Then shows that a newer method is refused.
set -euo pipefail
cd "$(dirname "$0")"
command -v mvn >/dev/null || { echo "expected Maven, found none: apt-get install maven" >&2; exit 1; }
copy="$(mktemp -d)"
trap 'rm -rf "$copy"' EXIT
cp -r pom.xml gallery "$copy"

mvn -B -q -f "$copy/pom.xml" process-classes
echo "android: the reader uses only what Android API level 26 has"

cat >"$copy/gallery/src/main/java/org/edgesdk/gallery/Newer.java" <<'JAVA'
package org.edgesdk.gallery;

final class Newer {
    static int compare(byte[] a, byte[] b) {
        return java.util.Arrays.compareUnsigned(a, b);
    }
}
JAVA
if report="$(mvn -B -q -f "$copy/pom.xml" process-classes 2>&1)"; then
  echo "expected that Arrays.compareUnsigned (API level 33) is refused, but it passed" >&2
  exit 1
fi
grep -q 'java.util.Arrays.compareUnsigned(byte\[\], byte\[\])' <<<"$report" || { echo "$report" >&2; exit 1; }
echo "android: a method of API level 33 is refused"
