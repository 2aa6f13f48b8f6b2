package main

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"strategicmemory/envserver"
)

// The first bits that the server's generator draws with seeds 0 to 9.
var cues = []any{0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0}

var url string

func TestMain(m *testing.M) {
	binary := os.Getenv("STRATEGIC_MEMORY_ENV_SERVER")
	if binary == "" {
		binary = "../../../target/release/env-server"
	}
	server := exec.Command(binary, "serve", "--listen", "127.0.0.1:0", "--log", "warn")
	output, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		panic("no server (cargo build --release -p env-server): " + err.Error())
	}
	line, _ := bufio.NewReader(output).ReadString('\n')
	url = strings.TrimSpace(strings.TrimPrefix(line, "listening on "))
	status := m.Run()
	_ = server.Process.Kill()
	_ = server.Wait()
	os.Exit(status)
}

// losing drops every fifth request before it is sent, and every second reply.
type losing struct{ count int }

func (l *losing) RoundTrip(request *http.Request) (*http.Response, error) {
	l.count++
	if l.count%5 == 0 {
		return nil, errors.New("the request was lost")
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err == nil && l.count%2 == 0 {
		response.Body.Close()
		return nil, errors.New("the reply was lost")
	}
	return response, err
}

func TestEveryStepHappensOnce(t *testing.T) {
	lossy := &losing{}
	for name, transport := range map[string]http.RoundTripper{"whole": http.DefaultTransport, "lossy": lossy} {
		env, err := open(newClient(url, "", transport), name, 3)
		if err != nil {
			t.Fatal(name, err)
		}
		for seed, expected := range cues {
			cue, total, err := env.remember(int64(seed))
			if err != nil || cue != expected || total != 1 {
				t.Fatal(name, seed, cue, total, err)
			}
		}
		page, err := insist(env.client.EnvsAPI.TrajectoryEnv(context.Background(), name).Execute)
		if err != nil {
			t.Fatal(name, err)
		}
		if len(page.Entries) != 4*len(cues) {
			t.Fatalf("%s: %d operations instead of %d", name, len(page.Entries), 4*len(cues))
		}
		env.close()
	}
	if lossy.count < 60 {
		t.Fatalf("only %d requests", lossy.count)
	}
}

func TestARefusalIsAProblemDocument(t *testing.T) {
	env, err := open(newClient(url, "", http.DefaultTransport), "refused", 3)
	if err != nil {
		t.Fatal(err)
	}
	_, err = env.step(0)
	if problem := problemOf(err); problem == nil || problem.Code != envserver.ERRORCODE_NEEDS_RESET {
		t.Fatal(err)
	}
	if _, err = env.reset(1); err != nil {
		t.Fatal(err)
	}
	_, err = env.step(2)
	problem := problemOf(err)
	if problem == nil || problem.Code != envserver.ERRORCODE_INVALID_ACTION || problem.Status != 422 {
		t.Fatal(err)
	}
	if len(problem.Errors) != 1 || problem.Errors[0].Pointer != "/action" {
		t.Fatal(problem.Errors)
	}
}

func TestVectorsAndTheCatalogue(t *testing.T) {
	client := newClient(url, "", http.DefaultTransport)
	ctx := context.Background()
	creation := envserver.NewCreateVectorEnv(2, "MemoryTask-v0")
	creation.SetKwargs(map[string]any{"delay": 1})
	creation.SetAutoresetMode(envserver.AUTORESETMODE_SAME_STEP)
	if _, _, err := client.VectorEnvsAPI.PutVectorEnv(ctx, "lanes").CreateVectorEnv(*creation).Execute(); err != nil {
		t.Fatal(err)
	}
	reset := envserver.NewVectorResetRequest()
	reset.SetSeed([]int64{1, 3})
	first, _, err := client.VectorEnvsAPI.ResetVectorEnv(ctx, "lanes").VectorResetRequest(*reset).Execute()
	if err != nil || !reflect.DeepEqual(first.Observations, []any{[]any{1.0, 0.0, 0.0}, []any{0.0, 0.0, 0.0}}) {
		t.Fatal(first, err)
	}
	step := envserver.NewVectorStepRequest([]envserver.Action{1, 1})
	reply, _, err := client.VectorEnvsAPI.StepVectorEnv(ctx, "lanes").VectorStepRequest(*step).Execute()
	if err != nil || !reflect.DeepEqual(reply.Rewards, []float64{1, -1}) {
		t.Fatal(reply, err)
	}
	if !reflect.DeepEqual(reply.Infos["_final_obs"], []any{true, true}) {
		t.Fatal(reply.Infos)
	}
	catalogue, _, err := client.SpecsAPI.ListSpecs(ctx).Execute()
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range catalogue.Specs {
		if spec.Id == "MemoryTask-v0" {
			if spec.Parameters[0]["name"] != "delay" || spec.ActionSpace["type"] != "Discrete" {
				t.Fatal(spec)
			}
			return
		}
	}
	t.Fatal("MemoryTask-v0 is not in the catalogue")
}
