// The reference reader: what Go itself, which Docker Engine is written in, makes of documents and requests.
//
// Standard input holds records: one byte for the kind, four for the length, most significant first, and the
// bytes to read. Standard output gets one line of JSON for each, in that order, at the latest when
// all that was sent is read. Standard library only.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"log"
	"math"
	"os"
	"sort"
	"strconv"
)

func main() {
	in, out := bufio.NewReaderSize(os.Stdin, 1<<20), bufio.NewWriterSize(os.Stdout, 1<<20)
	defer out.Flush()
	answers := json.NewEncoder(out)
	for {
		if in.Buffered() == 0 {
			out.Flush()
		}
		var head [5]byte
		if _, err := io.ReadFull(in, head[:]); err == io.EOF {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		data := make([]byte, binary.BigEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(in, data); err != nil {
			log.Fatal(err)
		}
		if err := answers.Encode(answer(head[0], data)); err != nil {
			log.Fatal(err)
		}
	}
}

func answer(kind byte, data []byte) interface{} {
	switch kind {
	case 'v':
		return document(data)
	case 'h':
		return request(data)
	}
	return body(kind, data)
}

// tree is a document in tokens: numbers as integers where they are written as such and fit, else as the bits of
// a float; texts in hexadecimal; members sorted by name.
type tree struct {
	Tokens []string
	Error  string
}

func document(data []byte) tree {
	var value interface{}
	if err := read(data, false, func(d *json.Decoder) error { d.UseNumber(); return d.Decode(&value) }); err != nil {
		return tree{Error: err.Error()}
	}
	return tree{Tokens: tokens(nil, value)}
}

func tokens(list []string, value interface{}) []string {
	switch value := value.(type) {
	case nil:
		return append(list, "null")
	case bool:
		return append(list, strconv.FormatBool(value))
	case json.Number:
		return append(list, number(string(value)))
	case string:
		return append(list, "s:"+hex.EncodeToString([]byte(value)))
	case []interface{}:
		list = append(list, "[")
		for _, element := range value {
			list = tokens(list, element)
		}
		return append(list, "]")
	case map[string]interface{}:
		names := make([]string, 0, len(value))
		for name := range value {
			names = append(names, name)
		}
		sort.Strings(names)
		list = append(list, "{")
		for _, name := range names {
			list = tokens(tokens(list, name), value[name])
		}
		return append(list, "}")
	}
	panic("not a value of encoding/json")
}

func number(literal string) string {
	if integer, err := strconv.ParseInt(literal, 10, 64); err == nil && literal != "-0" {
		return "i:" + strconv.FormatInt(integer, 10)
	}
	if integer, err := strconv.ParseUint(literal, 10, 64); err == nil {
		return "i:" + strconv.FormatUint(integer, 10)
	}
	float, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		return "out of range"
	}
	return "f:" + strconv.FormatUint(math.Float64bits(float), 16)
}
