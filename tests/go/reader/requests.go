package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// message is what the engine shows its plugins (authorization.Request).
type message struct {
	RequestMethod  string
	RequestURI     string            `json:"RequestUri"`
	RequestBody    []byte            `json:",omitempty"`
	RequestHeaders map[string]string `json:",omitempty"`
}

// meaning is a request as it goes through the engine: what its plugins are shown, the route it takes, and the
// same request as plainly as it can be written, with just what the handler looks at.
type meaning struct {
	Message, Plain *message `json:",omitempty"`
	Route, Name    string   `json:",omitempty"`
	Error          string   `json:",omitempty"`
}

// routes are those that bring or run image content, or manage what guards it; in the words of the routers.
var routes = compiled(`
* /debug/{path:.*}
* /session
* /grpc
GET /swarm
GET /swarm/unlockkey
POST /images/create fromImage tag platform
POST /images/load
POST /build
POST /commit
POST /images/{name:.*}/tag repo tag
POST /containers/create
POST /containers/{name:.*}/start checkpoint checkpoint-dir
POST /containers/{name:.*}/restart t signal
POST /containers/{name:.*}/rename name
PUT /containers/{name:.*}/archive
POST /containers/{name:.*}/exec
POST /exec/{name:.*}/start
POST /containers/{name:.*}/checkpoints
DELETE /containers/{name}/checkpoints/{checkpoint}
POST /containers/{name:.*}/copy
POST /containers/{name:.*}/update
POST /services/create
POST /services/{id}/update version rollback
POST /swarm/init
POST /swarm/join
POST /swarm/leave
POST /swarm/unlock
POST /swarm/update
POST /nodes/{id}/update
DELETE /nodes/{id}
POST /plugins/create
POST /plugins/pull
POST /plugins/{name:.*}/disable
POST /plugins/{name:.*}/enable
POST /plugins/{name:.*}/push
POST /plugins/{name:.*}/set
POST /plugins/{name:.*}/upgrade
DELETE /plugins/{name:.*}
POST /volumes/create
`)

type route struct {
	method, pattern string
	parameters      []string
	expression      *regexp.Regexp
}

func compiled(table string) []route {
	placeholder := regexp.MustCompile(`\{[a-z]+\}`)
	open := regexp.MustCompile(`\{[a-z]+:\.\*\}`)
	var all []route
	for _, line := range strings.Split(strings.TrimSpace(table), "\n") {
		words := strings.Fields(line)
		expression := open.ReplaceAllString(placeholder.ReplaceAllString(words[1], `([^/]+)`), `(.*)`)
		expression = `^(?:/v[0-9.]+)?` + expression + `$`
		all = append(all, route{words[0], words[1], words[2:], regexp.MustCompile(expression)})
	}
	return all
}

func request(raw []byte) meaning {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return meaning{Error: err.Error()}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return meaning{Error: err.Error()}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	shown := message{RequestMethod: r.Method, RequestURI: r.RequestURI, RequestHeaders: map[string]string{}}
	if bodyIsShown(r) {
		shown.RequestBody = body
	}
	for name, values := range r.Header {
		shown.RequestHeaders[name] = values[len(values)-1]
	}
	// The router sends unclean paths elsewhere, without effect (gorilla/mux, cleanPath).
	if clean(r.URL.Path) != r.URL.Path {
		return meaning{Message: &shown}
	}
	for _, route := range routes {
		found := route.expression.FindStringSubmatch(r.URL.Path)
		if found == nil || route.method != "*" && route.method != r.Method {
			continue
		}
		plain, err := plainly(r, route, body)
		if err != nil {
			return meaning{Message: &shown, Error: err.Error()}
		}
		name := append(found, "")[1]
		return meaning{Message: &shown, Plain: plain, Route: route.pattern, Name: name}
	}
	return meaning{Message: &shown}
}

// bodyIsShown is authorization.sendBody.
func bodyIsShown(r *http.Request) bool {
	target, err := url.Parse(r.RequestURI)
	if err != nil || strings.HasSuffix(target.Path, "/auth") {
		return false
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

func clean(p string) string {
	if p == "" {
		return "/"
	}
	if p[0] != '/' {
		p = "/" + p
	}
	cleaned := path.Clean(p)
	if strings.HasSuffix(p, "/") && cleaned != "/" {
		cleaned += "/"
	}
	return cleaned
}

// plainly writes down what the handler looks at: httputils.ParseForm, which forgives what mime complains of, and
// then the first of each; but URL.Query, which drops what it cannot read, in updates of a service.
func plainly(r *http.Request, route route, body []byte) (*message, error) {
	// postContainersStart, since API 1.24: no body but one too short for any parameter.
	if route.pattern == "/containers/{name:.*}/start" && (r.ContentLength == -1 || r.ContentLength > 7) {
		return nil, errors.New("a start has no body")
	}
	looksAtQuery := strings.HasPrefix(route.pattern, "/services/")
	values := r.URL.Query()
	if !looksAtQuery {
		if err := r.ParseForm(); err != nil && !strings.HasPrefix(err.Error(), "mime:") {
			return nil, err
		}
		values = r.Form
	}
	kept := url.Values{}
	for _, name := range route.parameters {
		if _, given := values[name]; given {
			kept.Set(name, values.Get(name))
		}
	}
	if route.pattern == "/services/{id}/update" {
		if _, err := strconv.ParseUint(values.Get("version"), 10, 64); err != nil {
			return nil, err
		}
	}
	plain := message{RequestMethod: r.Method, RequestURI: escaped(r.URL.Path) + "?" + kept.Encode()}
	plain.RequestHeaders = map[string]string{"Content-Length": "0"}
	if len(route.parameters) == 0 || looksAtQuery && len(body) > 0 {
		plain.RequestBody = body
		plain.RequestHeaders["Content-Length"] = strconv.Itoa(len(body))
		plain.RequestHeaders["Content-Type"] = "application/json"
	}
	return &plain, nil
}

// escaped writes as they are all characters that may stand so in a path.
func escaped(path string) string {
	var text strings.Builder
	for _, c := range []byte(path) {
		if c > ' ' && c < 0x7f && !strings.ContainsRune(`%?#\`, rune(c)) {
			text.WriteByte(c)
		} else {
			fmt.Fprintf(&text, "%%%02X", c)
		}
	}
	return text.String()
}
