-- mark: says that the schema may be dropped. Rows: none. Locks: the schema.
comment on schema scheduler is 'Made by scheduler bench, which drops it when it ends, or when it is started the next time.'
