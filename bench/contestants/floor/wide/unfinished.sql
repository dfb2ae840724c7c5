select count(*) from (select state from task order by id desc limit 25000) newest where state <> 3
