package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// process is a running program under measurement.
type process struct {
	command *exec.Cmd
	started time.Duration // until it took connections
}

// start runs a program and waits until it takes connections on an address.
func start(ctx context.Context, address string, environ []string, name string, args ...string) (*process, error) {
	command := exec.CommandContext(ctx, name, args...) //nolint:gosec // bench's own targets
	command.Env = append(os.Environ(), environ...)
	output, err := os.CreateTemp("", "bench-*.log")
	if err != nil {
		return nil, err
	}
	defer func() { _ = output.Close() }()
	command.Stdout, command.Stderr = output, output
	begin := time.Now()
	if err := command.Start(); err != nil {
		return nil, err
	}
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			_ = conn.Close()
			return &process{command, time.Since(begin)}, nil
		}
		if time.Since(begin) > 10*time.Second {
			return nil, fmt.Errorf("%s does not take connections on %s: see %s", name, address, output.Name())
		}
		time.Sleep(time.Millisecond)
	}
}

func (p *process) stop() {
	_ = p.command.Process.Kill()
	_ = p.command.Wait()
}

// clockTick is the unit of CPU times in /proc (proc(5), USER_HZ).
const clockTick = 10 * time.Millisecond

// cpu is the CPU time that the process has used; a nil process uses none.
func (p *process) cpu() (time.Duration, error) {
	if p == nil {
		return 0, nil
	}
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	const utime, stime = 11, 12 // after the name, which may hold spaces
	fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
	var ticks int64
	for _, field := range []int{utime, stime} {
		n, err := strconv.ParseInt(fields[field], 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// memory is the process's resident memory, in MiB.
func (p *process) memory() (float64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(content))[1], 64)
	return pages * float64(os.Getpagesize()) / (1 << 20), err
}

// freeAddress is an address on which nobody listens.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String(), nil
}
