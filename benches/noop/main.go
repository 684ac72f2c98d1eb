// noop is an authorization plugin that allows everything: what any plugin costs at least, in Go. It reads and answers
// as docker/go-plugins-helpers does, with the standard library alone.
package main

import (
	"encoding/json"
	"log"
	"net"
	"net/http"
	"os"
)

// request is what engines send (docker/docker/pkg/authorization, Request).
type request struct {
	User            string            `json:"User,omitempty"`
	UserAuthNMethod string            `json:"UserAuthNMethod,omitempty"`
	RequestMethod   string            `json:"RequestMethod,omitempty"`
	RequestURI      string            `json:"RequestUri,omitempty"`
	RequestBody     []byte            `json:"RequestBody,omitempty"`
	RequestHeaders  map[string]string `json:"RequestHeaders,omitempty"`
}

type response struct {
	Allow bool
	Msg   string `json:",omitempty"`
	Err   string `json:",omitempty"`
}

func main() {
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/Plugin.Activate", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string][]string{"Implements": {"authz"}})
	})
	allow := func(w http.ResponseWriter, r *http.Request) {
		var call request
		if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
			answer(w, response{Err: err.Error()})
			return
		}
		answer(w, response{Allow: true})
	}
	http.HandleFunc("/AuthZPlugin.AuthZReq", allow)
	http.HandleFunc("/AuthZPlugin.AuthZRes", allow)
	log.Fatal(http.Serve(listener, nil))
}

func answer(w http.ResponseWriter, value interface{}) {
	w.Header().Set("Content-Type", "application/vnd.docker.plugins.v1.2+json")
	json.NewEncoder(w).Encode(value)
}
