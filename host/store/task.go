package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

const (
	keepDone = 50  // tasks of an agent that are over
	keepRuns = 100 // runs of a task
)

const taskSelect = `SELECT n, tasks.agent, role, channel, account, chat, prompt, schedule, zone, next, state, why,
	misfire, gate, failures, author, tasks.created FROM tasks JOIN agents ON agents.id = tasks.agent `

func scanTask(r *sql.Rows) (t host.Task, err error) {
	var next, created sql.NullInt64
	var gate []byte
	err = r.Scan(&t.N, &t.Agent.ID, &t.Agent.Role, &t.Agent.Channel, &t.Agent.Account, &t.Agent.Chat, &t.Prompt,
		&t.Schedule, &t.Timezone, &next, &t.State, &t.Why, &t.Misfire, &gate, &t.Failures, &t.Author, &created)
	if gate != nil {
		err = errors.Join(err, json.Unmarshal(gate, &t.Gate))
	}
	t.Next, t.Created = moment(next.Int64), moment(created.Int64)
	return t, err
}

func millis(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMilli(), Valid: !t.IsZero()}
}

// AddTask keeps a new task; of an agent with max tasks that are not over it is host.ErrLimit.
func (s *Store) AddTask(ctx context.Context, t host.Task, max int) (host.Task, error) {
	err := s.tx(ctx, func(tx *sql.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM tasks WHERE agent = ? AND state <> 'done'`,
			t.Agent.ID).Scan(&n); err != nil {
			return err
		}
		if n >= max {
			return host.ErrLimit
		}
		if _, err := tx.ExecContext(ctx,
			`DELETE FROM tasks WHERE agent = ?1 AND state = 'done' AND n NOT IN
			 (SELECT n FROM tasks WHERE agent = ?1 AND state = 'done' ORDER BY n DESC LIMIT ?2)`,
			t.Agent.ID, keepDone); err != nil {
			return err
		}
		gate, err := gateOf(t)
		if err != nil {
			return err
		}
		t.Created = s.now().UTC()
		return tx.QueryRowContext(ctx,
			`INSERT INTO tasks (agent, prompt, schedule, zone, next, state, why, misfire, gate, failures, author, created)
			 VALUES (?,?,?,?,?,?,?,?,?,?,?,?) RETURNING n`, t.Agent.ID, t.Prompt, t.Schedule, t.Timezone, millis(t.Next),
			t.State, t.Why, t.Misfire, gate, t.Failures, t.Author, millis(t.Created)).Scan(&t.N)
	})
	if err != nil {
		return t, fmt.Errorf("store: add a task: %w", err)
	}
	return t, nil
}

func gateOf(t host.Task) (gate []byte, err error) {
	if t.Gate != nil {
		gate, err = json.Marshal(t.Gate)
	}
	return gate, err
}

// Tasks lists the tasks of one agent.
func (s *Store) Tasks(ctx context.Context, agent host.AgentID) ([]host.Task, error) {
	return query(ctx, s.db, scanTask, taskSelect+`WHERE tasks.agent = ? ORDER BY n`, agent)
}

// AllTasks lists the tasks of all agents, for their owner.
func (s *Store) AllTasks(ctx context.Context) ([]host.Task, error) {
	return query(ctx, s.db, scanTask, taskSelect+`ORDER BY n`)
}

// Soonest lists the active tasks that are due first.
func (s *Store) Soonest(ctx context.Context, max int) ([]host.Task, error) {
	return query(ctx, s.db, scanTask, taskSelect+`WHERE state = 'active' ORDER BY next LIMIT ?`, max)
}

// ChangeTask changes task n of agent, and writes the run that change returns, together. busy says
// that an earlier run is not over. A task of another agent is host.ErrNotFound.
func (s *Store) ChangeTask(
	ctx context.Context, agent host.AgentID, n int64, change func(t *host.Task, busy bool) (*host.Run, error),
) (t host.Task, err error) {
	err = s.tx(ctx, func(tx *sql.Tx) error {
		rows, err := query(ctx, tx, scanTask, taskSelect+`WHERE n = ? AND tasks.agent = ?`, n, agent)
		if err != nil || len(rows) == 0 {
			return errors.Join(err, host.ErrNotFound)
		}
		t = rows[0]
		var busy bool
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM runs WHERE task = ? AND outcome = '')`,
			n).Scan(&busy); err != nil {
			return err
		}
		run, err := change(&t, busy)
		if err != nil {
			return err
		}
		gate, err := gateOf(t)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE tasks SET prompt = ?, schedule = ?, zone = ?, next = ?, state = ?, why = ?,
			misfire = ?, gate = ?, failures = ? WHERE n = ?`, t.Prompt, t.Schedule, t.Timezone, millis(t.Next), t.State,
			t.Why, t.Misfire, gate, t.Failures, n); err != nil || run == nil {
			return err
		}
		run.Task = n
		return addRun(ctx, tx, *run)
	})
	return t, err
}

// addRun writes r, unless its time has a row already, and forgets the oldest.
func addRun(ctx context.Context, tx *sql.Tx, r host.Run) error {
	if _, err := tx.ExecContext(ctx,
		`INSERT INTO runs (task, due, ended, message, outcome, error) VALUES (?,?,?,?,?,?)
		 ON CONFLICT (task, due) DO NOTHING`,
		r.Task, r.Due.UnixMilli(), millis(r.Ended), r.Message(), r.Outcome, r.Error); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM runs WHERE task = ?1 AND outcome <> '' AND n <=
		(SELECT n FROM runs WHERE task = ?1 ORDER BY n DESC LIMIT 1 OFFSET ?2)`, r.Task, keepRuns)
	return err
}

const runSelect = `SELECT runs.n, task, due, started, ended, outcome, error, coalesce(turn, '') FROM runs `

func scanRun(r *sql.Rows) (v host.Run, err error) {
	var due, started, ended sql.NullInt64
	err = r.Scan(&v.N, &v.Task, &due, &started, &ended, &v.Outcome, &v.Error, &v.Turn)
	v.Due, v.Started, v.Ended = moment(due.Int64), moment(started.Int64), moment(ended.Int64)
	return v, err
}

// Runs lists the runs of task n, the newest first.
func (s *Store) Runs(ctx context.Context, n int64) ([]host.Run, error) {
	return query(ctx, s.db, scanRun, runSelect+`WHERE task = ? ORDER BY n DESC`, n)
}

// OpenRuns lists the runs that are not over and whose message is not there.
func (s *Store) OpenRuns(ctx context.Context) (out []host.OpenRun, err error) {
	rows, err := query(ctx, s.db, scanRun, runSelect+`JOIN tasks ON tasks.n = task JOIN agents ON agents.id = tasks.agent
		WHERE outcome = '' AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.channel = agents.channel AND
		m.account = agents.account AND m.chat = agents.chat AND m.sender = 'task' AND m.external_id = runs.message)
		ORDER BY runs.n`)
	for _, r := range rows {
		of, err := query(ctx, s.db, scanTask, taskSelect+`WHERE n = ?`, r.Task)
		if err != nil {
			return nil, err
		}
		for _, t := range of {
			out = append(out, host.OpenRun{Run: r, Of: t})
		}
	}
	return out, err
}

// StartRun notes that run n begins.
func (s *Store) StartRun(ctx context.Context, n int64) error {
	_, err := s.db.ExecContext(ctx, `UPDATE runs SET started = ? WHERE n = ?`, s.now().UnixMilli(), n)
	return err
}

// EndRun ends run n, which made no turn.
func (s *Store) EndRun(ctx context.Context, n int64, how host.RunOutcome, reason string) error {
	return s.tx(ctx, func(tx *sql.Tx) error { return s.endRuns(ctx, tx, how, reason, "", `n = ?`, n) })
}

// endTurnRuns ends the runs whose messages were in a turn that ends, with it.
func (s *Store) endTurnRuns(ctx context.Context, tx *sql.Tx, turn host.TurnID, how Outcome, reason string) error {
	outcome := host.RunFailed
	if how == Done {
		outcome = host.RunOK
	}
	return s.endRuns(ctx, tx, outcome, reason, turn,
		`message IN (SELECT external_id FROM messages WHERE turn = ? AND sender = 'task')`, turn)
}

func (s *Store) endRuns(
	ctx context.Context, tx *sql.Tx, how host.RunOutcome, reason string, turn host.TurnID, which string, arg any,
) error {
	which = `outcome = '' AND ` + which
	_, err := tx.ExecContext(ctx, `UPDATE tasks SET failures = CASE WHEN ? = 'failed' THEN failures + 1
		WHEN ? = 'missed' THEN failures ELSE 0 END WHERE n IN (SELECT task FROM runs WHERE `+which+`)`, how, how, arg)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE runs SET outcome = ?, error = ?, ended = ?, turn = ? WHERE `+which,
		how, strings.ToValidUTF8(reason[:min(len(reason), 1000)], ""), s.now().UnixMilli(), null(string(turn)), arg)
	return err
}

// PauseFailing pauses the tasks that failed so often in a row, and returns them: each once.
func (s *Store) PauseFailing(ctx context.Context, failures int, why string) (out []host.Task, err error) {
	err = s.tx(ctx, func(tx *sql.Tx) error {
		out, err = query(ctx, tx, scanTask, taskSelect+`WHERE state = 'active' AND failures >= ?`, failures)
		if err != nil || len(out) == 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE tasks SET state = 'paused', next = NULL, why = ?
			WHERE state = 'active' AND failures >= ?`, why, failures)
		return err
	})
	return out, err
}
