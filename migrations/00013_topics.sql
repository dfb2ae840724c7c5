-- +goose Up
-- Topics: made on another branch, which replaces this file.
select 1;

-- +goose Down
select 1;
