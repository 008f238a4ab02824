// Command tlog checks an authledger log with the packages that Go's own module proxy is checked with. It shares no code with
// authledger: notes are opened and proofs are checked by golang.org/x/mod, and the tree is built anew from the records.
//
//	tlog VERIFIER-KEY DIRECTORY
//
// DIRECTORY holds records (each behind its length in two big-endian bytes), *.checkpoint, *.tlog-proof and *.consistency.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// tree keeps the hashes that tlog asks for, in its own order.
type tree struct {
	records [][]byte
	hashes  []tlog.Hash
}

func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(t.hashes)) {
			return nil, fmt.Errorf("hash %d of %d", index, len(t.hashes))
		}
		found[i] = t.hashes[index]
	}
	return found, nil
}

func grow(path string) (*tree, error) {
	bundle, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t := &tree{}
	for len(bundle) > 0 {
		length := int(binary.BigEndian.Uint16(bundle))
		record := bundle[2 : 2+length]
		bundle = bundle[2+length:]
		stored, err := tlog.StoredHashes(int64(len(t.records)), record, t)
		if err != nil {
			return nil, err
		}
		t.records, t.hashes = append(t.records, record), append(t.hashes, stored...)
	}
	return t, nil
}

// head opens a checkpoint with the key and gives the tree in it.
func head(text []byte, keys note.Verifiers) (tlog.Tree, error) {
	opened, err := note.Open(text, keys)
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != opened.Sigs[0].Name {
		return tlog.Tree{}, fmt.Errorf("not a checkpoint: %q", opened.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

func hashes(lines []string) ([]tlog.Hash, error) {
	var proof []tlog.Hash
	for _, line := range lines {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return nil, err
		}
		proof = append(proof, hash)
	}
	return proof, nil
}

func checkHead(text []byte, keys note.Verifiers, t *tree) error {
	signed, err := head(text, keys)
	if err != nil {
		return err
	}
	root, err := tlog.TreeHash(signed.N, t)
	if err != nil {
		return err
	}
	if root != signed.Hash {
		return fmt.Errorf("the records make %v, signed is %v", root, signed.Hash)
	}
	return nil
}

// split parts the lines of a proof from the checkpoint behind the first empty line.
func split(text []byte) ([]string, []byte, error) {
	before, after, found := bytes.Cut(text, []byte("\n\n"))
	if !found {
		return nil, nil, fmt.Errorf("no empty line")
	}
	return strings.Split(string(before), "\n"), after, nil
}

func checkRecord(text []byte, keys note.Verifiers, t *tree) error {
	lines, checkpoint, err := split(text)
	if err != nil {
		return err
	}
	if len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return fmt.Errorf("not a proof: %q", lines)
	}
	record, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		return err
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	if err != nil {
		return err
	}
	proof, err := hashes(lines[3:])
	if err != nil {
		return err
	}
	signed, err := head(checkpoint, keys)
	if err != nil {
		return err
	}
	if !bytes.Equal(record, t.records[index]) {
		return fmt.Errorf("record %d is another one", index)
	}
	own, err := tlog.ProveRecord(signed.N, index, t)
	if err != nil {
		return err
	}
	if fmt.Sprint(own) != fmt.Sprint(tlog.RecordProof(proof)) {
		return fmt.Errorf("our proof of record %d is another one", index)
	}
	return tlog.CheckRecord(proof, signed.N, signed.Hash, index, tlog.RecordHash(record))
}

func checkConsistency(text []byte, keys note.Verifiers, t *tree) error {
	place := bytes.Index(text, []byte("\n\nold "))
	if place < 0 {
		return fmt.Errorf("not a proof of consistency")
	}
	old, err := head(text[:place+1], keys)
	if err != nil {
		return err
	}
	lines, checkpoint, err := split(text[place+2:])
	if err != nil {
		return err
	}
	if lines[0] != fmt.Sprintf("old %d", old.N) {
		return fmt.Errorf("%q where the size is %d", lines[0], old.N)
	}
	proof, err := hashes(lines[1:])
	if err != nil {
		return err
	}
	signed, err := head(checkpoint, keys)
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, signed.N, signed.Hash, old.N, old.Hash)
}

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(key, directory string) error {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return err
	}
	keys := note.VerifierList(verifier)
	t, err := grow(filepath.Join(directory, "records"))
	if err != nil {
		return err
	}
	checks := map[string]func([]byte, note.Verifiers, *tree) error{
		".checkpoint": checkHead, ".tlog-proof": checkRecord, ".consistency": checkConsistency,
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		return err
	}
	counts := map[string]int{}
	for _, entry := range entries {
		kind := filepath.Ext(entry.Name())
		check, known := checks[kind]
		if !known {
			continue
		}
		text, err := os.ReadFile(filepath.Join(directory, entry.Name()))
		if err != nil {
			return err
		}
		if err := check(text, keys, t); err != nil {
			return fmt.Errorf("%s: %w", entry.Name(), err)
		}
		counts[kind]++
	}
	fmt.Printf("%d records, %d checkpoints, %d inclusions, %d consistencies\n",
		len(t.records), counts[".checkpoint"], counts[".tlog-proof"], counts[".consistency"])
	return nil
}
