select count(*) from task where state <> 3
