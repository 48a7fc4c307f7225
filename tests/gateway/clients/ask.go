// What Go's own client does as it comes: JSON, binary tensors, a body of unknown length, gzip that it asks for by itself.
// Run as: go run ask.go <address>; prints a line for each answer.
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
)

const infer = "/v2/models/toy.UA/infer"

type tensor struct {
	Name       string         `json:"name"`
	Shape      []int          `json:"shape"`
	Datatype   string         `json:"datatype"`
	Data       []float32      `json:"data,omitempty"`
	Parameters map[string]any `json:"parameters,omitempty"`
}

func ask(what string, address string, path string, body io.Reader, headers map[string]string) *http.Response {
	request, err := http.NewRequest("POST", address+path, body)
	if err != nil {
		panic(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(err)
	}
	fmt.Print(what, " ", answer.Proto, " ", answer.StatusCode, " ", answer.Uncompressed, " ")
	return answer
}

func rest(answer *http.Response) []byte {
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		panic(err)
	}
	return content
}

func probability(answer *http.Response) {
	var told struct {
		Outputs []struct{ Data []float64 }
	}
	if err := json.Unmarshal(rest(answer), &told); err != nil {
		panic(err)
	}
	fmt.Println(told.Outputs[0].Data[0])
}

func main() {
	address, row := os.Args[1], []float32{1, 0, 2}
	plain, _ := json.Marshal(map[string]any{"inputs": []tensor{{Name: "features", Shape: []int{1, 3}, Datatype: "FP32", Data: row}}})
	for range [2]int{} {
		probability(ask("json", address, infer, bytes.NewReader(plain), nil))
	}
	probability(ask("chunks", address, infer, io.MultiReader(bytes.NewReader(plain)), nil))
	probability(ask("expect", address, infer, bytes.NewReader(plain), map[string]string{"Expect": "100-continue"}))

	head, _ := json.Marshal(map[string]any{
		"inputs": []tensor{{Name: "features", Shape: []int{1, 3}, Datatype: "FP32",
			Parameters: map[string]any{"binary_data_size": 12}}},
		"parameters": map[string]any{"binary_data_output": true},
	})
	body := bytes.NewBuffer(head)
	binary.Write(body, binary.LittleEndian, row)
	answer := ask("binary", address, infer, body, map[string]string{
		"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": strconv.Itoa(len(head))})
	content := rest(answer)
	size, _ := strconv.Atoi(answer.Header.Get("Inference-Header-Content-Length"))
	fmt.Println(math.Float32frombits(binary.LittleEndian.Uint32(content[size:])))

	many := make([]float32, 9000)
	long, _ := json.Marshal(map[string]any{"inputs": []tensor{{Name: "features", Shape: []int{3000, 3}, Datatype: "FP32", Data: many}}})
	probability(ask("long", address, infer, bytes.NewReader(long), nil))
	fmt.Println(len(rest(ask("index", address, "/v2/repository/index", nil, nil))) > 0)
}
