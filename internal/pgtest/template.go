package pgtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/migrations"
)

// migrated is the name of the template with the migrations of this build.
var migrated = sync.OnceValues(func() (string, error) {
	admin, err := cluster()
	if err != nil {
		return "", err
	}
	hash, err := hashOf(migrations.Files)
	if err != nil {
		return "", err
	}
	name := "tmpl_" + hash
	return name, makeTemplate(context.Background(), admin, name, func(ctx context.Context, databaseURL string) error {
		_, err := migrations.Up(ctx, databaseURL)
		return err
	})
})

// hashOf is one for each set of file names and contents.
func hashOf(files fs.FS) (string, error) {
	sum := sha256.New()
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, path)
		fmt.Fprintf(sum, "%s %d\n%s", path, len(content), content)
		return err
	})
	return hex.EncodeToString(sum.Sum(nil)[:8]), err
}

// templateLock is the advisory lock that test processes take in turn to make a template.
const templateLock = 0x7067746573740001

// makeTemplate makes the database, unless it is there and finished, which is when it is marked as a template.
// Nobody can connect to one afterwards: a connection would keep others from cloning it.
func makeTemplate(ctx context.Context, admin, name string, fill func(ctx context.Context, databaseURL string) error) error {
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) // and with it the lock
	if _, err := conn.Exec(ctx, "select pg_advisory_lock($1)", int64(templateLock)); err != nil {
		return err
	}
	var finished bool
	err = conn.QueryRow(ctx, "select exists (select from pg_database where datname = $1 and datistemplate)", name).Scan(&finished)
	if err != nil || finished {
		return err
	}
	for _, sql := range []string{"drop database if exists " + quote(name) + " with (force)", "create database " + quote(name) + " template template0"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	if err := fill(ctx, withDatabase(admin, name)); err != nil {
		return fmt.Errorf("template %s: %w", name, err)
	}
	_, err = conn.Exec(ctx, "alter database "+quote(name)+" with is_template true allow_connections false")
	return err
}
