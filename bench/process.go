package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// process is a running program under measurement.
type process struct {
	pid     int
	stop    func()
	started time.Duration // until it took connections
}

// itself is the process of bench.
func itself() *process { return &process{pid: os.Getpid()} }

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
	stop := func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		_ = os.Remove(output.Name())
	}
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			_ = conn.Close()
			return &process{command.Process.Pid, stop, time.Since(begin)}, nil
		}
		if time.Since(begin) > 10*time.Second {
			said, _ := os.ReadFile(output.Name())
			stop()
			return nil, fmt.Errorf("%s does not take connections on %s: %s", name, address, said)
		}
		time.Sleep(time.Millisecond)
	}
}

// clockTick is the unit of CPU times in /proc (proc(5), USER_HZ).
const clockTick = 10 * time.Millisecond

// cpu is the CPU time that the process has used; a nil process uses none.
func (p *process) cpu() (time.Duration, error) {
	if p == nil {
		return 0, nil
	}
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return 0, err
	}
	const utime, stime = 11, 12 // after the name, which may hold spaces
	fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
	return ticks(fields[utime : stime+1])
}

// ticks adds CPU times.
func ticks(fields []string) (time.Duration, error) {
	var sum int64
	for _, field := range fields {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return time.Duration(sum) * clockTick, nil
}

// machineCPU is the CPU time that was used by anybody, the hypervisor's other guests
// included.
func machineCPU() (time.Duration, error) {
	content, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(content), "\n")
	const user, system, irq, steal = 1, 3, 6, 8 // proc(5); idle and iowait are between
	fields := strings.Fields(first)
	if len(fields) <= steal {
		return 0, errors.New("/proc/stat is too short")
	}
	return ticks(append(fields[user:system+1:system+1], fields[irq:steal+1]...))
}

// switches is the number of context switches of all the process's threads.
func (p *process) switches() (int, error) {
	if p == nil {
		return 0, nil
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.pid))
	sum := 0
	for _, thread := range threads {
		content, err := os.ReadFile(thread) //nolint:gosec // from /proc
		if err != nil {
			continue // the thread has ended
		}
		for line := range strings.Lines(string(content)) {
			if name, count, _ := strings.Cut(line, ":"); strings.HasSuffix(name, "voluntary_ctxt_switches") {
				n, err := strconv.Atoi(strings.TrimSpace(count))
				if err != nil {
					return 0, err
				}
				sum += n
			}
		}
	}
	return sum, err
}

// memory is the process's resident memory, in MiB.
func (p *process) memory() (float64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.pid))
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
