#!/bin/sh
# Once, in a container of the compose file: four node keys, the genesis block that names them as validators, and the list of
# their addresses. All four keys come to lie in one volume, which is right for trying out and wrong for a consortium.
set -eu
cd /network
[ -e ready ] && exit 0
rm -rf made
besu operator generate-blockchain-config --config-file=/etc/besu/network.json --to=made --private-key-file-name=key
cp made/genesis.json genesis.json
number=0
nodes=""
for folder in made/keys/*; do
    number=$((number + 1))
    mkdir -p "validator-$number"
    cp "$folder/key" "$folder/key.pub" "validator-$number/"
    public=$(sed 's/^0x//' "$folder/key.pub")
    nodes="$nodes${nodes:+, }\"enode://$public@172.29.64.1$number:30303\""
done
echo "[$nodes]" >static-nodes.json
touch ready
