#!/bin/bash
# docs.sh DIR: what a package puts into /usr/share/doc/reattach, below DIR, but for the
# licences of others. Links between documents lead to where things are there, and to
# the repository for what is not in a package.
set -euo pipefail
doc=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "$0")/../.."

shipped='consul-template|consul|envconsul|grafana|kubernetes|nomad|prometheus|steps|systemd'
web=https://github.com/reattach/reattach/blob/main

install -d "$doc/docs" "$doc/examples"
install -m 644 LICENSE "$doc/copyright"
install -m 644 configs/*.hcl configs/*.json "$doc/examples/"
for example in ${shipped//|/ }; do
	[ ! -d "deployments/$example" ] || cp -r "deployments/$example" "$doc/examples/"
done
find "$doc/examples" -name '*.go' -delete

# A link that was led elsewhere begins with @ until all are.
for page in README.md CHANGELOG.md; do
	sed -E -e 's#\]\(configs/?#](@examples/#g' -e "s#\]\(deployments/($shipped)\b#](@examples/\1#g" -e 's#\]\(deployments/docs/#](@docs/#g' \
		-e 's#\]\(LICENSE\)#](@copyright)#g' -e 's#\]\((README|CHANGELOG)\.md#](@\1.md#g' \
		-e "s#\]\(([A-Za-z])([^:)]*)\)#](@$web/\1\2)#g" -e 's#\]\(@#](#g' "$page" > "$doc/$page"
done
for page in deployments/docs/*.md; do
	sed -E -e 's#\]\(\.\./\.\./configs/?#](@../examples/#g' -e "s#\]\(\.\./($shipped)\b#](@../examples/\1#g" -e 's#\]\(\.\./\.\./(README|CHANGELOG)\.md#](@../\1.md#g' \
		-e "s#\]\(\.\./\.\./#](@$web/#g" -e "s#\]\(\.\./#](@$web/deployments/#g" -e 's#\]\(@#](#g' "$page" > "$doc/docs/${page##*/}"
done
