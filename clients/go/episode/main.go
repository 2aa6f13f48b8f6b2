// Command episode plays MemoryTask-v0 with the client that scripts/generate-client makes, remembers the cue in a
// variable, and fails unless every episode is won.
//
//	go run ./episode [URL]
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"strategicmemory/envserver"
)

// giveUpAfter is how long one operation is tried.
const giveUpAfter = time.Minute

func main() {
	url := "http://127.0.0.1:7878"
	if len(os.Args) > 1 {
		url = os.Args[1]
	}
	client := newClient(url, os.Getenv("STRATEGIC_MEMORY_TOKEN"), http.DefaultTransport)
	if err := run(client, 5, 8); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// maxReplyBytes is the longest reply that is read.
const maxReplyBytes = 256 << 20

// guarded says of every change what it sends, also of those without a body, for servers may insist on it; and reads no
// more of a reply than it may be long.
type guarded struct{ transport http.RoundTripper }

func (g guarded) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method != http.MethodGet && request.Header.Get("Content-Type") == "" {
		request = request.Clone(request.Context())
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := g.transport.RoundTrip(request)
	if err == nil {
		response.Body = http.MaxBytesReader(nil, response.Body, maxReplyBytes)
	}
	return response, err
}

// newClient gives a client of the server at url; transport carries its requests. http.DefaultTransport asks a proxy of
// the environment for other machines only.
func newClient(url, token string, transport http.RoundTripper) *envserver.APIClient {
	configuration := envserver.NewConfiguration()
	configuration.Servers = envserver.ServerConfigurations{{URL: url}}
	configuration.HTTPClient = &http.Client{Transport: guarded{transport}, Timeout: 30 * time.Second}
	if token != "" {
		configuration.AddDefaultHeader("Authorization", "Bearer "+token)
	}
	return envserver.NewAPIClient(configuration)
}

// run plays episodes of a delay and prints how each went.
func run(client *envserver.APIClient, episodes, delay int) error {
	env, err := open(client, fmt.Sprintf("go-%d", time.Now().UnixNano()), delay)
	if err != nil {
		return err
	}
	defer env.close()
	for seed := 0; seed < episodes; seed++ {
		cue, total, err := env.remember(int64(seed))
		if err != nil {
			return err
		}
		fmt.Printf("seed %d: the cue was %v, return %v\n", seed, cue, total)
		if total != 1 {
			return fmt.Errorf("seed %d: the return is %v, not 1", seed, total)
		}
	}
	return nil
}

// env is an environment on the server, and the number of the next operation on it.
type env struct {
	client *envserver.APIClient
	id     string
	seq    int64
}

func open(client *envserver.APIClient, id string, delay int) (*env, error) {
	creation := envserver.NewCreateEnv("MemoryTask-v0")
	creation.SetKwargs(map[string]any{"delay": delay, "difficulty": 1})
	request := client.EnvsAPI.PutEnv(context.Background(), id).CreateEnv(*creation)
	description, err := insist(request.Execute)
	if err != nil {
		return nil, err
	}
	return &env{client, id, description.Seq}, nil
}

// remember plays an episode and answers with the bit that was shown first.
func (e *env) remember(seed int64) (cue any, total float64, err error) {
	first, err := e.reset(seed)
	if err != nil {
		return nil, 0, err
	}
	cue = first.Observation.([]any)[0]
	for {
		reply, err := e.step(cue)
		if err != nil {
			return cue, total, err
		}
		total += reply.Reward
		if reply.Terminated || reply.Truncated {
			return cue, total, nil
		}
	}
}

func (e *env) reset(seed int64) (*envserver.ResetReply, error) {
	body := envserver.NewResetRequest()
	body.SetSeq(e.seq)
	body.SetSeed(seed)
	request := e.client.EnvsAPI.ResetEnv(context.Background(), e.id).ResetRequest(*body)
	reply, err := insist(request.Execute)
	if err == nil {
		e.seq = reply.Seq
	}
	return reply, err
}

func (e *env) step(action any) (*envserver.StepReply, error) {
	body := envserver.NewStepRequest(action)
	body.SetSeq(e.seq)
	request := e.client.EnvsAPI.StepEnv(context.Background(), e.id).StepRequest(*body)
	reply, err := insist(request.Execute)
	if err == nil {
		e.seq = reply.Seq
	}
	return reply, err
}

func (e *env) close() {
	// One that is left alone ends with its lease.
	_, _ = e.client.EnvsAPI.CloseEnv(context.Background(), e.id).Execute()
}

// insist sends a request until it is answered. That is safe, for the server applies each seq once.
func insist[R any](send func() (*R, *http.Response, error)) (*R, error) {
	began := time.Now()
	for delay := 50 * time.Millisecond; ; delay = min(2*delay, 2*time.Second) {
		reply, response, err := send()
		if err == nil {
			return reply, nil
		}
		if !isDoubtful(response, err) || time.Since(began) > giveUpAfter {
			return nil, err
		}
		time.Sleep(delay)
	}
}

// isDoubtful tells whether the same request may succeed later: it was lost, or its problem document says so.
func isDoubtful(response *http.Response, err error) bool {
	if response == nil || response.StatusCode < 300 {
		return true
	}
	if problem := problemOf(err); problem != nil {
		return problem.Retryable
	}
	switch response.StatusCode {
	case 408, 429, 502, 503, 504:
		return true
	}
	return false
}

// problemOf gives the problem document of an error, if it has one.
func problemOf(err error) *envserver.Problem {
	var failure *envserver.GenericOpenAPIError
	if errors.As(err, &failure) {
		if problem, ok := failure.Model().(envserver.Problem); ok {
			return &problem
		}
	}
	return nil
}

func min(a, b time.Duration) time.Duration {
	if a < b {
		return a
	}
	return b
}
