package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
	"github.com/go-sql-driver/mysql"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/wneessen/go-mail"
)

// database is MariaDB or MySQL by go-sql-driver/mysql.
type database struct{ db *sql.DB }

func attachDatabase(ctx context.Context, u *url.URL) (connection, error) {
	config := mysql.NewConfig()
	config.Net, config.Addr = "tcp", u.Host
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	config.DBName = u.Path[1:]
	config.Timeout, config.ReadTimeout, config.WriteTimeout = patience, patience, patience
	config.Logger = silence{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, err
	}
	return database{db}, nil
}

func (d database) write(ctx context.Context, n int) error {
	_, err := d.db.ExecContext(ctx, "INSERT INTO orders (note) VALUES (?)", fmt.Sprint("quickstart ", n))
	return err
}

func (d database) close() { _ = d.db.Close() }

// silence keeps the driver from printing on its own.
type silence struct{}

func (silence) Print(...any) {}

// queue is RabbitMQ by amqp091-go; a message counts once the broker confirmed it.
type queue struct {
	conn    *amqp.Connection
	channel *amqp.Channel
}

func attachQueue(_ context.Context, u *url.URL) (connection, error) {
	conn, err := amqp.DialConfig(u.String(), amqp.Config{Dial: amqp.DefaultDial(patience), Heartbeat: time.Second})
	if err != nil {
		return nil, err
	}
	channel, err := conn.Channel()
	if err == nil {
		err = channel.Confirm(false)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return queue{conn, channel}, nil
}

func (q queue) write(ctx context.Context, n int) error {
	confirmed, err := q.channel.PublishWithDeferredConfirmWithContext(ctx, "", "orders", true, false,
		amqp.Publishing{Body: []byte(strconv.Itoa(n)), DeliveryMode: amqp.Persistent})
	if err != nil {
		return err
	}
	ok, err := confirmed.WaitContext(ctx)
	if err == nil && !ok {
		err = errors.New("the broker refused the message")
	}
	return err
}

func (q queue) close() { _ = q.conn.CloseDeadline(time.Now().Add(patience)) }

// relay is Postfix by go-mail.
type relay struct{ client *mail.Client }

func attachMail(ctx context.Context, u *url.URL) (connection, error) {
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		return nil, err
	}
	client, err := mail.NewClient(u.Hostname(), mail.WithPort(port), mail.WithTimeout(patience),
		mail.WithTLSPolicy(mail.NoTLS), mail.WithHELO("app.lab.test"), mail.WithoutNoop())
	if err != nil {
		return nil, err
	}
	if err := client.DialWithContext(ctx); err != nil {
		return nil, err
	}
	return relay{client}, nil
}

func (r relay) write(_ context.Context, n int) error {
	message := mail.NewMsg()
	if err := errors.Join(message.From("app@lab.test"), message.To("orders@lab.test")); err != nil {
		return err
	}
	message.Subject(fmt.Sprint("order ", n))
	message.SetBodyString(mail.TypeTextPlain, "Thank you.")
	return r.client.Send(message)
}

func (r relay) close() { _ = r.client.Close() }

// cache is memcached by gomemcache.
type cache struct{ client *memcache.Client }

func attachCache(_ context.Context, u *url.URL) (connection, error) {
	// One address for all its life: the library would else resolve the name, and
	// wait for that, at each write.
	host, err := net.ResolveTCPAddr("tcp", u.Host)
	if err != nil {
		return nil, err
	}
	client := memcache.New(host.String())
	client.Timeout = patience / 2
	return cache{client}, nil
}

func (c cache) write(_ context.Context, n int) error {
	return c.client.Set(&memcache.Item{Key: "quickstart", Value: []byte(strconv.Itoa(n)), Expiration: 60})
}

func (c cache) close() { _ = c.client.Close() }
